// What a page shows: asked once, asked again when the stream says that it has changed, kept while the answer is out.

import { get } from "./api.js";
import { useEffect, useRef, useState } from "./html.js";
import { live } from "./live.js";
import { atOf, useRoute } from "./route.js";
import { heard } from "./time.js";

const RETRY_S = 2;
const SLOWEST_RETRY_S = 15;

/**
 * The envelope of api/<path> for the netting set and moment of the address bar.
 * topic: name in the stream's `versions`, null: asked once. skip: nothing is asked. everywhere: of all netting sets.
 * Returns {envelope, data, error, waiting, reload}: `data` stays as it was while a newer one is on its way.
 */
export function useData(path, params = {}, { topic = null, skip = false, everywhere = false } = {}) {
  const { query } = useRoute();
  const at = atOf(query);
  const all = { netting_set: everywhere ? "" : query.netting_set ?? "", at, ...params };
  const key = skip ? "" : `${path} ${JSON.stringify(all)}`;
  const [answer, setAnswer] = useState({ key: "", envelope: null, error: null, waiting: true });
  const reload = useRef(() => {});

  useEffect(() => {
    if (skip) return undefined;
    const stop = new AbortController();
    let [busy, dirty, timer, failures] = [false, false, null, 0];

    async function load() {
      if (busy) {
        dirty = true;
        return;
      }
      clearTimeout(timer);
      [busy, dirty] = [true, false];
      try {
        const envelope = await get(path, all, stop.signal);
        failures = 0;
        if (envelope.now_ms && at === null) heard(envelope.now_ms);
        setAnswer({ key, envelope, error: null, waiting: false });
      } catch (error) {
        if (stop.signal.aborted) return;
        const again = error.status === 0 || error.status === 503 || error.status === 429;
        setAnswer((last) => ({ key, envelope: last.key === key ? last.envelope : null, error, waiting: again }));
        failures += 1;
        if (again) timer = setTimeout(load, 1000 * (error.retry_s ?? Math.min(RETRY_S * failures, SLOWEST_RETRY_S)));
      } finally {
        busy = false;
      }
      if (dirty && !stop.signal.aborted) timer = setTimeout(load, 250);
    }

    reload.current = load;
    setAnswer((last) => (last.key === key ? last : { ...last, waiting: true, error: null }));
    load();
    let seen = live.get().versions[topic];
    const unfollow = at === null && topic
      ? live.subscribe((now) => {
          if (now.versions[topic] === seen) return;
          seen = now.versions[topic];
          load();
        })
      : () => {};
    return () => {
      stop.abort();
      clearTimeout(timer);
      unfollow();
    };
  }, [key]);

  const isOld = answer.key !== key;
  return {
    envelope: answer.envelope,
    data: answer.envelope?.data ?? null,
    error: isOld ? null : answer.error,
    waiting: isOld || answer.waiting,
    reload: () => reload.current(),
  };
}

/** Asks again for as long as the answer says that something is looked for. Returns {said, stop, stopped}. */
export function useLooking(answer, id) {
  const [ended, setEnded] = useState(null); // the id that nobody waits for any more: its search ends by itself
  const said = answer.waiting ? "" : answer.data?.looking ?? "";
  useEffect(() => {
    if (said && ended !== id) answer.reload();
  }, [answer.envelope, ended, id]);
  return { said, stopped: ended === id, stop: () => setEnded(id), goOn: () => setEnded(null) };
}
