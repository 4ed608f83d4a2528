// The page is written in these: tagged templates of htm over Preact. Text from the server becomes text nodes only.

import htm from "../vendor/htm.js";
import { h } from "../vendor/preact.js";

export { Fragment, render } from "../vendor/preact.js";
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.js";

export const html = htm.bind(h);

/** Joins class names; what is false is left out. */
export const classes = (...names) => names.filter(Boolean).join(" ");
