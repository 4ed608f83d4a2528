// The form of an action, made from what the server says its fields are.

import { session } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { useRoute } from "../lib/route.js";

const AMOUNT = /^-?\d{1,18}(\.\d{1,9})?$/;
const PAYMENT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Text of a form → value of the API; undefined: left empty. Throws a sentence where it cannot be. */
export function valueOf(field, text) {
  const typed = text.trim();
  if (typed === "") {
    if (field.required) throw new Error(`${field.label} is missing.`);
    return undefined;
  }
  if (field.type === "amount") {
    const plain = typed.replaceAll(",", "");
    if (!AMOUNT.test(plain)) throw new Error(`${field.label}: an amount is written like 1250.00.`);
    return plain;
  }
  if (field.type === "integer" || field.type === "window") {
    const plain = typed.replaceAll(",", "");
    if (!/^\d{1,15}$/.test(plain)) throw new Error(`${field.label}: a whole number.`);
    return Number(plain);
  }
  if (field.type === "boolean") return typed === "true";
  if (field.type === "payments") {
    const ids = typed.split(/[\s,]+/);
    const wrong = ids.find((id) => !PAYMENT.test(id));
    if (wrong) throw new Error(`${field.label}: ${wrong} is not a payment's id.`);
    return ids;
  }
  return typed;
}

/** look(netting_set, fields): asked for a dry run. changed(): what was looked at no longer holds. */
export function Form({ action, accounts, busy, look, changed }) {
  const { query } = useRoute();
  const sets = session.get().netting_sets;
  const [chosen, setNettingSet] = useState(null);
  const named = accounts.find((row) => row.participant === query.participant && (!query.asset || row.asset === query.asset));
  const netting_set = chosen ?? query.netting_set ?? named?.netting_set ?? sets[0] ?? "";
  const [error, setError] = useState("");
  const here = accounts.filter((row) => row.netting_set === netting_set);

  function submit(event) {
    event.preventDefault();
    const elements = event.target.elements;
    try {
      const given = action.fields.map((field) => [field.name, valueOf(field, elements[field.name].value)]);
      setError("");
      look(netting_set, Object.fromEntries(given.filter(([, value]) => value !== undefined)));
    } catch (failure) {
      setError(failure.message);
    }
  }
  return html`<form class="act" onSubmit=${submit} onInput=${changed}>
    <div class="fields">
      <div class="field"><label for="f-set">Netting set</label>
        <select id="f-set" value=${netting_set} onChange=${(event) => setNettingSet(event.target.value)}>${sets.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>
      </div>
      ${action.fields.map((field) => html`<${Field} key=${field.name} field=${field} given=${query[field.name] ?? ""} accounts=${here} />`)}
    </div>
    ${error && html`<p class="bad-text" role="alert">${error}</p>`}
    <div class="row"><button disabled=${busy}>${busy ? "Trying it on a copy …" : "What would it do?"}</button></div>
  </form>`;
}

const unique = (rows, name) => [...new Set(rows.map((row) => row[name]))].sort();

function Field({ field, given, accounts }) {
  const id = `f-${field.name}`;
  const options = field.type === "participant" ? unique(accounts, "participant") : field.type === "asset" ? unique(accounts, "asset") : field.type === "choice" ? field.choices : field.type === "boolean" ? ["true", "false"] : null;
  const label = html`<label for=${id}>${field.label}${field.required ? "" : html` <span class="muted">(if wanted)</span>`}</label>`;
  return html`<div class="field">
    ${label}
    ${options
      ? html`<select id=${id} name=${field.name} key=${options.join()} defaultValue=${given}>
          <option value="">–</option>
          ${[...options, ...(given && !options.includes(given) ? [given] : [])].map((each) => html`<option key=${each} value=${each} selected=${each === given}>${WORDS[each] ?? each}</option>`)}
        </select>`
      : field.type === "payments"
        ? html`<textarea id=${id} name=${field.name} defaultValue=${given} spellcheck=${false}></textarea>`
        : html`<input id=${id} name=${field.name} type="text" inputmode=${field.type === "amount" ? "decimal" : undefined} defaultValue=${given} autocomplete="off" spellcheck=${false} />`}
    ${field.help && html`<small>${field.help}</small>`}
  </div>`;
}

const WORDS = { true: "yes", false: "no" };
