// What this browser proves by itself: sums and SHA-256 (WebCrypto) over what it was given. It believes no server's word.

import { count, isZero, money, plural, sum } from "./format.js";

export const PAGE = 1_000; // entries in an answer of the API
const MOST = 20_000; // entries that are fetched to be proved

/** Browsers hash for pages of https and of this very machine only. */
const canHash = () => globalThis.crypto?.subtle !== undefined;
const NOT_HERE = "browsers can tell on pages of https and of localhost only";

export async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Hash of a batch: of its message, in the order of its fields, with an empty hash. */
const batchHash = (batch) => sha256(JSON.stringify({ ...batch, hash: "" }));

/** Hash of an entry of the audit log: without what it is called by, and where it stood. */
const auditHash = (entry) => sha256(JSON.stringify({ ...entry, hash: "", offset: 0 }));

const idOf = async ({ netting_set, asset, window, version, part = 1, parts = 1 }) =>
  (await sha256([netting_set, asset, window, version, ...(parts > 1 ? [part] : [])].join("|"))).slice(0, 32);

/**
 * Claims about a batch, proved here: [{claim, ok, detail}], ok null where it cannot be told.
 * fetched(sequence, entry): the answer of the API for a batch from that entry on.
 */
export async function proveBatch(batch, total, fetched) {
  const whole = await complete(batch, total, fetched);
  if (!whole) return [{ claim: "not proved here", ok: null, detail: `${count(total)} entries are too many for a page: clearing verify` }];
  const claims = [sumClaim(whole)];
  if (!canHash()) return [...claims, { claim: "its hash is that of its content", ok: null, detail: NOT_HERE }];
  if (batch.kind !== "funding") claims.push(compared("its id is that of what it settles", await idOf(batch), batch.id));
  claims.push(compared("its hash is that of its content (R7)", await batchHash(whole), batch.hash));
  claims.push(await chainClaim(batch, fetched));
  return claims;
}

/** A batch with all of its entries; null where they are too many. */
async function complete(batch, total, fetched) {
  if (total > MOST) return null;
  if (batch.entries.length === total) return batch;
  const entries = [];
  while (entries.length < total) {
    const answer = await fetched(batch.sequence, entries.length);
    if (answer.batch.hash !== batch.hash || !answer.batch.entries.length) throw new Error("the batch was another one meanwhile");
    entries.push(...answer.batch.entries);
  }
  return { ...batch, entries };
}

function sumClaim({ entries }) {
  const net = sum(entries.map((entry) => entry.net));
  return { claim: "its entries sum to zero (R1)", ok: isZero(net), detail: `${plural(entries.length, "entry", "entries")}: ${money(net)}` };
}

const compared = (claim, found, said) => ({ claim, ok: found === said, detail: found === said ? found : `it says ${said}, and is ${found}` });

async function chainClaim(batch, fetched) {
  if (batch.sequence === 1) return { claim: "it is the first of its netting set (R7)", ok: /^0+$/.test(batch.previous), detail: `previous ${batch.previous}` };
  const claim = `it follows batch ${count(batch.sequence - 1)} (R7)`;
  let before;
  try {
    before = await fetched(batch.sequence - 1, 0);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { claim, ok: null, detail: `the one before cannot be had: ${error.message}` };
  }
  const whole = await complete(before.batch, before.entries_total, fetched);
  return whole ? compared(claim, await batchHash(whole), batch.previous) : { claim, ok: null, detail: "the one before has too many entries for a page" };
}

/** Of entries of one netting set as they are shown: {ok, entries, detail}; ok null: it cannot be told here. */
export async function proveAudit(rows) {
  if (!canHash()) return { ok: null, entries: 0, detail: NOT_HERE };
  const known = new Map(rows.map((row) => [row.number, row]));
  for (const row of rows) {
    const before = known.get(row.number - 1);
    if ((await auditHash(row)) !== row.hash) return { ok: false, entries: rows.length, detail: `entry ${count(row.number)} is not what its hash says` };
    if (before && row.previous !== before.hash) return { ok: false, entries: rows.length, detail: `entry ${count(row.number)} does not follow the one before` };
  }
  return { ok: true, entries: rows.length, detail: "" };
}
