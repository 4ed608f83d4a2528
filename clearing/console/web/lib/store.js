// A value that components follow: the route, the session, the stream, the clock.

import { useEffect, useState } from "./html.js";

/** {get, set, subscribe}. set(next) tells all followers unless it is the very same value. */
export function createStore(initial) {
  let value = initial;
  const followers = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const tell of [...followers]) tell(next);
    },
    subscribe(tell) {
      followers.add(tell);
      return () => followers.delete(tell);
    },
  };
}

/** The store's value, or what `pick` takes of it; the component is drawn again when that changes. */
export function useStore(store, pick = (value) => value) {
  const [, redraw] = useState(0);
  const picked = pick(store.get());
  useEffect(() => {
    let last = pick(store.get());
    if (!Object.is(last, picked)) redraw((n) => n + 1);
    return store.subscribe((value) => {
      const next = pick(value);
      if (Object.is(next, last)) return;
      last = next;
      redraw((n) => n + 1);
    });
  }, [store]);
  return picked;
}
