// A dialog of the browser's own: focus stays in it, Escape closes it.

import { html, useEffect, useRef } from "../lib/html.js";

export function Dialog({ title, close, children }) {
  const box = useRef(null);
  useEffect(() => {
    const dialog = box.current;
    if (!dialog.open) dialog.showModal();
    return () => dialog.close();
  }, []);
  return html`<dialog ref=${box} aria-label=${title} onClose=${close} onCancel=${close}>
    <div class="content">
      <h2>${title}</h2>
      ${children}
    </div>
  </dialog>`;
}
