// Light or dark as the Airflow page around this one has it, before anything is drawn and when it changes.
"use strict";
(() => {
  const root = document.documentElement;
  const around = () => {
    try {
      return window.parent !== window ? window.parent.document.documentElement : null;
    } catch {
      return null; // a page of another origin
    }
  };
  const chosen = (html) => {
    if (html) for (const theme of ["dark", "light"]) if (html.classList.contains(theme)) return theme;
    const stored = window.localStorage.getItem("theme");
    return stored === "dark" || stored === "light" ? stored : "";
  };
  const html = around();
  const apply = () => {
    root.dataset.theme = chosen(html);
  };
  apply();
  if (html) new MutationObserver(apply).observe(html, { attributes: true, attributeFilter: ["class"] });
})();
