// The console's page. Starts here: who is it, which page, and the stream that keeps it true.
// Text from the server is untrusted: it becomes text nodes and nothing else.

import { loadSession, session } from "./lib/api.js";
import { html, render, useEffect, useState } from "./lib/html.js";
import { listen, step } from "./lib/keys.js";
import { follow } from "./lib/live.js";
import { go, here, href, useRoute } from "./lib/route.js";
import { useStore } from "./lib/store.js";
import { zone } from "./lib/time.js";
import { Frame, Login, PAGES } from "./parts/frame.js";
import { Help } from "./parts/help.js";
import { Failure, Head, Say } from "./parts/say.js";
import { Actions } from "./pages/actions.js";
import { Audit } from "./pages/audit.js";
import { Batch, Batches } from "./pages/batches.js";
import { Drill } from "./pages/drill.js";
import { Lag } from "./pages/lag.js";
import { Optimise } from "./pages/optimise.js";
import { Overview } from "./pages/overview.js";
import { Participants } from "./pages/participants.js";
import { Payment } from "./pages/payment.js";
import { Positions } from "./pages/positions.js";
import { Queues } from "./pages/queues.js";
import { Rejected } from "./pages/rejected.js";
import { Found } from "./pages/search.js";
import { Services } from "./pages/services.js";
import { Windows } from "./pages/windows.js";

const SHOWN = {
  overview: Overview, lag: Lag, windows: Windows, positions: Positions, queues: Queues, rejected: Rejected,
  participants: Participants, drill: Drill, services: Services, actions: Actions, audit: Audit, search: Found, payment: Payment, optimise: Optimise,
};

function Page({ page, parts }) {
  if (page === "batches") return parts.length === 2 ? html`<${Batch} netting_set=${parts[0]} sequence=${parts[1]} />` : html`<${Batches} />`;
  const Shown = SHOWN[page];
  return Shown ? html`<${Shown} parts=${parts} key=${`${page}/${parts.join("/")}`} />` : html`<${Head} title="There is no such page" /><${Say}>The address names no page of this console.<//>`;
}

function App() {
  const who = useStore(session);
  const { page, parts, query } = useRoute();
  const [helps, setHelps] = useState(false);
  useStore(zone);
  const user = who?.user ?? null;
  useEffect(() => follow(user === null ? null : query.netting_set ?? ""), [user, query.netting_set]);
  useEffect(() => listen({
    "?": () => setHelps(true),
    "/": () => document.getElementById("search")?.select(),
    t: () => document.getElementById("moment")?.select(),
    n: () => go(here({ at: null })),
    j: () => step(1),
    k: () => step(-1),
    ...Object.fromEntries(PAGES.map(([name, , key]) => [`g ${key}`, () => go(href([name]))])),
  }), []);
  useEffect(() => {
    const title = PAGES.find(([name]) => name === page)?.[1] ?? page;
    document.title = `${title} · Clearing console`;
  }, [page]);
  if (!who) return html`<p class="boot">Clearing console</p>`;
  if (!user) return html`<${Login} />`;
  return html`
    <${Frame} help=${() => setHelps(true)}><${Page} page=${page} parts=${parts} /><//>
    ${helps && html`<${Help} close=${() => setHelps(false)} />`}
  `;
}

const RETRY_MS = 3_000;
async function start() {
  const root = document.getElementById("app");
  try {
    await loadSession();
  } catch (error) {
    render(html`<main class="boot"><${Failure} error=${error} /></main>`, root);
    setTimeout(start, RETRY_MS);
    return;
  }
  render(html`<${App} />`, root);
}

document.getElementById("app").replaceChildren();
start();
