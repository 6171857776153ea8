// What the pages do beyond forms and links. Everything works without it but the live parts.
(() => {
  "use strict";
  // The menu is folded on small screens only.
  const menu = document.querySelector(".side details");
  if (menu) {
    const wide = window.matchMedia("(min-width: 821px)");
    const fit = () => { menu.open = wide.matches; };
    fit();
    wide.addEventListener("change", fit);
  }
  // "/" goes to the search field of the page; "g" and a letter go to a page of the menu.
  let after = "";
  document.addEventListener("keydown", (event) => {
    const at = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || at.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName)) return;
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (after === "g") {
      const link = document.querySelector(`.side a[data-key="${CSS.escape(event.key)}"]`);
      if (link) link.click();
    }
    after = event.key;
  });
  // A form that is sent twice by a double click is sent once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.submitter?.formTarget || form.hasAttribute("hx-post")) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    window.setTimeout(() => { delete form.dataset.sent; }, 4000);
  });
  // A value that is offered goes into the lines beside it.
  document.addEventListener("change", (event) => {
    const from = event.target;
    if (!from.dataset?.into || !from.value) return;
    const into = document.getElementById(from.dataset.into);
    into.value = into.value ? `${into.value.replace(/\n+$/, "")}\n${from.value}` : from.value;
    from.value = "";
    into.dispatchEvent(new Event("input", { bubbles: true }));
  });
  // Text to copy.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    navigator.clipboard?.writeText(source.textContent.trim()).then(() => { button.textContent = "Copied"; });
  });
  // After the rule builder was drawn anew, the keyboard stays where it was.
  let focused = null;
  document.addEventListener("htmx:beforeSwap", () => { focused = document.activeElement?.id || null; });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.elt.id === "builder" || event.detail.target?.id === "builder") document.body.dispatchEvent(new Event("built"));
    const wanted = document.querySelector("[data-focus]");
    if (wanted) { wanted.removeAttribute("data-focus"); wanted.focus(); return; }
    if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
  });
})();
