// Figures as people read them. Unknown (null, undefined, "") is "–", never 0. Money stays text: no float touches it.

export const UNKNOWN = "–";
const MINUS = "−";

export const isUnknown = (value) => value === null || value === undefined || value === "";

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

function parts(decimal) {
  const found = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(decimal));
  return found && { sign: found[1] ? MINUS : "", whole: found[2], fraction: found[3] ?? "" };
}

/** "-1234567.80" → "−1,234,567.80", every digit of it. */
export function money(decimal) {
  if (isUnknown(decimal)) return UNKNOWN;
  const it = parts(decimal);
  if (!it) return String(decimal);
  return it.sign + grouped(it.whole) + (it.fraction && `.${it.fraction}`);
}

const UNITS = [[12, "tn"], [9, "bn"], [6, "m"]];

/** "1234567890.00" → "1.23 bn", "480216.000000" → "480,216". Digits are cut, not rounded up; nothing becomes 0. */
export function short(decimal) {
  if (isUnknown(decimal)) return UNKNOWN;
  const it = parts(decimal);
  if (!it) return String(decimal);
  const whole = it.whole.replace(/^0+(?=\d)/, "");
  const unit = UNITS.find(([zeros]) => whole.length > zeros);
  if (!unit) {
    const fraction = whole.length > 3 ? "" : it.fraction.slice(0, 2);
    return whole === "0" && /^0*$/.test(fraction) && !isZero(decimal) ? money(decimal) : it.sign + grouped(whole) + (fraction && `.${fraction}`);
  }
  const head = whole.slice(0, -unit[0]);
  const tail = whole.slice(-unit[0]).slice(0, Math.max(0, 3 - head.length)).replace(/0+$/, "");
  return `${it.sign}${grouped(head)}${tail && `.${tail}`} ${unit[1]}`;
}

/** {HKD: "1.00", EUR: "2.00"} → "HKD 1.00 · EUR 2.00", broken between assets alone; nothing in any: "nothing". */
export function amounts(byAsset, show = short) {
  if (!byAsset) return UNKNOWN;
  const some = Object.entries(byAsset).filter(([, value]) => !isZero(value));
  return some.length ? some.map(([asset, value]) => `${asset} ${show(value)}`.replaceAll(" ", "\u00a0")).join("\u00a0· ") : "nothing";
}

export const isZero = (decimal) => /^-?0*(\.0*)?$/.test(String(decimal));
export const isNegative = (decimal) => String(decimal).startsWith("-") && !isZero(decimal);

/** For lengths of bars and for sorting only. */
export const approx = (decimal) => (isUnknown(decimal) ? null : Number(decimal));

/** Exact sum of decimal strings. */
export function sum(decimals) {
  const scale = Math.max(0, ...decimals.map((each) => (each.split(".")[1] ?? "").length));
  const units = decimals.reduce((total, each) => {
    const [whole, fraction = ""] = each.replace("-", "").split(".");
    const value = BigInt(whole + fraction.padEnd(scale, "0"));
    return each.startsWith("-") ? total - value : total + value;
  }, 0n);
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, "0");
  const cut = digits.length - scale;
  return `${units < 0n ? "-" : ""}${digits.slice(0, cut)}${scale ? `.${digits.slice(cut)}` : ""}`;
}

/** 12345 → "12,345". */
export function count(number) {
  if (isUnknown(number)) return UNKNOWN;
  return (number < 0 ? MINUS : "") + grouped(String(Math.abs(Math.trunc(number))));
}

/** 1 → "1 payment", 2 → "2 payments". */
export const plural = (number, one, many = `${one}s`) =>
  isUnknown(number) ? `${UNKNOWN} ${many}` : `${count(number)} ${number === 1 ? one : many}`;

/** A measured number, three figures of it. */
export function rate(number) {
  if (isUnknown(number)) return UNKNOWN;
  return number >= 100 ? count(Math.round(number)) : String(Number(number.toPrecision(3)));
}

/** 0.834 → "83 %". Just below 100 stays below: 0.999 → "99 %". */
export function percent(share) {
  if (isUnknown(share)) return UNKNOWN;
  return share > 0 && share < 0.01 ? "< 1 %" : `${Math.floor(share * 100 + 1e-9)} %`;
}

/** Seconds → "0.4 s", "38 s", "4 min 10 s", "2 h 05 min", "3 d 4 h"; negative with a minus. */
export function duration(seconds) {
  if (isUnknown(seconds)) return UNKNOWN;
  const sign = seconds < 0 ? MINUS : "";
  const s = Math.abs(seconds);
  if (s > 0 && s < 0.05) return "< 0.1 s";
  if (s < 10) return `${sign}${s.toFixed(1)} s`;
  if (s < 60) return `${sign}${Math.floor(s)} s`;
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (s < 3600) return `${sign}${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86400) return `${sign}${Math.floor(s / 3600)} h ${two((s % 3600) / 60)} min`;
  return `${sign}${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A countdown: whole seconds, so that it does not flicker. */
export const countdown = (seconds) =>
  isUnknown(seconds) ? UNKNOWN : seconds < 0 && seconds > -1 ? "due" : seconds < 0 ? `due since ${duration(-Math.trunc(seconds))}` : clockOf(Math.ceil(seconds));

const clockOf = (s) => (s < 10 ? `${s} s` : duration(s));

export const milliseconds = (ms) => (isUnknown(ms) ? UNKNOWN : ms >= 10_000 ? duration(ms / 1000) : `${rate(ms)} ms`);

/** Bytes of an id or hash as far as people compare them. */
export const brief = (id, length = 12) => (isUnknown(id) ? UNKNOWN : id.length > length + 2 ? `${id.slice(0, length)}…` : id);

/** A status in words: PENDING_SETTLEMENT → "pending settlement". */
export const words = (name) => (isUnknown(name) ? UNKNOWN : name.replaceAll("_", " ").toLowerCase());
