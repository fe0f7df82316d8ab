// What the pages do beyond showing: they refresh while a run goes on, filter rows in place, lead to pages of Airflow,
// and retry. Nothing here makes HTML out of text: what comes from the server is put in place as the server made it.
"use strict";
(() => {
  const LIVE_MS = 3000;
  const inFrame = window.parent !== window;

  // Make `old` what `fresh` is and keep every element that did not change, so nothing flickers and the focus stays.
  const renew = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    const sameShape = old.nodeType === Node.ELEMENT_NODE && old.nodeName === fresh.nodeName && old.id === fresh.id &&
      old.childNodes.length === fresh.childNodes.length;
    if (!sameShape) {
      old.replaceWith(document.importNode(fresh, true));
      return;
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const pairs = [...old.childNodes].map((child, index) => [child, fresh.childNodes[index]]);
    for (const [child, next] of pairs) renew(child, next);
  };

  // Ask for a part of the page at an address, `live` or `rows`, and take it over; all of what is there if not a part.
  const take = async (address, part) => {
    const url = new URL(address, window.location.href);
    if (document.body.dataset.page === "run") url.searchParams.set("only", part);
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (page.body.dataset.page !== document.body.dataset.page) {
      window.location.reload(); // such as a run that was being planned
      return;
    }
    const [old, fresh] = [document.getElementById(part), page.getElementById(part)];
    if (old && fresh) renew(old, fresh);
  };

  const say = (text) => {
    const place = document.getElementById("said");
    if (place) place.textContent = text;
  };

  // A run that goes on: what changes is in the element `live`, whose data say whether it may still change.
  const refresh = async () => {
    if (!document.hidden && document.getElementById("live")?.dataset.live === "on") {
      try {
        await take(window.location.href, "live");
        await rowsWhenMerged();
      } catch (error) {
        say(error.message === "401" ? "You are logged out of Airflow: log in again." : "This page cannot be refreshed now; it keeps trying.");
      }
    }
    window.setTimeout(refresh, LIVE_MS);
  };

  // The rows come once there are new ones to show, and never while somebody types a search.
  const rowsWhenMerged = async () => {
    const [live, rows] = [document.getElementById("live"), document.getElementById("rows")];
    if (!rows || !live || rows.dataset.version === live.dataset.version || rows.contains(document.activeElement)) return;
    await take(window.location.href, "rows");
  };

  const showRows = async (url, remember) => {
    try {
      await take(url, "rows");
      if (remember) window.history.pushState(null, "", url);
    } catch {
      window.location.assign(url);
    }
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.id !== "filters") return;
    event.preventDefault();
    const chosen = [...new FormData(form)].filter(([, value]) => value !== "");
    const query = new URLSearchParams(chosen).toString();
    showRows(`${form.getAttribute("action")}${query ? `?${query}` : ""}`, true);
  });

  document.addEventListener("change", (event) => {
    if (event.target.form?.id === "filters" && event.target.type !== "search") event.target.form.requestSubmit();
  });

  window.addEventListener("popstate", () => {
    if (document.getElementById("rows")) showRows(window.location.href, false);
  });

  // The frame may not open windows or leave for another page: the page around it does so for the person who clicked.
  const leave = (link) => {
    const page = window.parent.document;
    const anchor = page.createElement("a");
    anchor.href = link.href;
    if (link.dataset.leave === "out") {
      anchor.target = "_blank";
      anchor.rel = "noopener noreferrer nofollow";
    }
    page.body.append(anchor);
    anchor.click();
    anchor.remove();
  };

  const retry = async (button) => {
    const batches = JSON.parse(button.dataset.retry);
    const focused = document.activeElement === button;
    button.disabled = true;
    // The page may be older than a trimming, after which clearing would only break the run.
    const now = await fetch(button.dataset.progress);
    if (now.ok && (await now.json()).trimmed_at) {
      await take(window.location.href, "live");
      say("This run was trimmed, so nothing is tried again: start a new run.");
      return;
    }
    const answer = await fetch(button.dataset.clear, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        dag_run_id: button.dataset.run,
        task_ids: batches.map((index) => [button.dataset.task, index]),
        include_downstream: true,
        only_failed: false,
        reset_dag_runs: true,
        dry_run: false,
      }),
    });
    if (!answer.ok) {
      button.disabled = false;
      say(`Airflow did not retry (${answer.status}): ${await answer.text()}`);
      return;
    }
    const batch = batches[0] < 0 ? "The results are merged again." : "The batch is tried again.";
    say(batches.length === 1 ? batch : `${batches.length} batches are tried again.`);
    await take(window.location.href, "live");
    // The button is gone: whoever pressed it by the keyboard goes on from the batches.
    if (focused) document.getElementById("h-batches")?.focus();
  };

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest("a[href]");
    if (link?.closest("#rows, #live") && link.hasAttribute("data-rows")) {
      event.preventDefault();
      showRows(link.href, true).then(() => document.getElementById("rows")?.scrollIntoView({ block: "start" }));
    } else if (link?.dataset.leave && inFrame) {
      event.preventDefault();
      leave(link);
    }
    const button = event.target.closest("button[data-retry]");
    if (button) retry(button).catch(() => say("Airflow did not answer; nothing is tried again."));
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
    const search = document.querySelector("#filters input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  });

  window.setTimeout(refresh, LIVE_MS);
})();
