// The page of an image: its lines and their boxes answer each other, to the pointer and to the keyboard.
"use strict";
(() => {
  // An image that could not be read has neither a sheet nor lines; leafing through still works.
  const sheet = document.getElementById("sheet") ?? document.createElement("div");
  const list = document.getElementById("lines") ?? document.createElement("ol");
  const drawing = sheet.querySelector("svg") ?? sheet;
  const lines = [...list.children];
  const boxes = new Map([...drawing.querySelectorAll("polygon[data-line]")].map((box) => [Number(box.dataset.line), box]));
  const zooms = [1, 1.5, 2, 3, 4, 6, 8, 12, 16]; // of the whole page
  let chosen = -1;
  let hot = -1;
  let zoom = 0;
  let fit = 1;

  const lineOf = (target) => Number(target.closest?.("[data-line]")?.dataset.line ?? -1);

  const mark = (index, name, on) => {
    lines[index]?.classList.toggle(name, on);
    boxes.get(index)?.classList.toggle(name, on);
  };

  const heat = (index) => {
    if (index === hot) return;
    mark(hot, "hot", false);
    hot = index;
    mark(hot, "hot", true);
  };

  // Scroll the sheet so that a box is in sight, whatever its zoom.
  const show = (box) => {
    const [frame, place] = [sheet.getBoundingClientRect(), box.getBoundingClientRect()];
    const inside = place.top >= frame.top && place.bottom <= frame.bottom && place.left >= frame.left && place.right <= frame.right;
    if (inside) return;
    sheet.scrollTop += place.top + place.height / 2 - frame.top - frame.height / 2;
    sheet.scrollLeft += place.left + Math.min(place.width, frame.width) / 2 - frame.left - frame.width / 2;
  };

  const choose = (index) => {
    if (index < 0 || index >= lines.length) return;
    if (chosen >= 0) {
      mark(chosen, "chosen", false);
      lines[chosen].setAttribute("aria-selected", "false");
    }
    chosen = index;
    mark(chosen, "chosen", true);
    lines[chosen].setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", lines[chosen].id);
    lines[chosen].scrollIntoView({ block: "nearest" });
    const box = boxes.get(chosen);
    if (box) {
      box.parentNode.append(box); // above its neighbours
      show(box);
    }
    showWords();
  };

  // Words are many and seldom looked at: the record with them is fetched when the first are asked for.
  const words = document.getElementById("words");
  let record = null;
  const showWords = async () => {
    for (const old of drawing.querySelectorAll("polygon.word")) old.remove();
    if (!words) return;
    record ??= fetch(words.dataset.record).then((answer) => answer.json());
    const wanted = chosen;
    const found = JSON.parse((await record).ocr_lines)[wanted]?.words ?? [];
    if (wanted !== chosen) return;
    const rows = found.map((word) => {
      const row = document.createElement("tr");
      const [text, sure] = [document.createElement("td"), document.createElement("td")];
      text.dir = "auto";
      text.textContent = word.text;
      sure.className = "number";
      sure.textContent = Number(word.confidence).toFixed(2);
      row.append(text, sure);
      const box = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
      box.setAttribute("points", word.quad.map((corner) => corner.join(",")).join(" "));
      box.setAttribute("class", "word");
      drawing.append(box);
      return row;
    });
    words.querySelector("tbody").replaceChildren(...rows);
  };

  // How much of the sheet's width the whole page takes: all of it, or less where the page is too tall for the sheet.
  const measure = () => {
    drawing.style.width = "100%";
    const [room, height] = [sheet.clientHeight, drawing.getBoundingClientRect().height];
    fit = room > 0 && height > room ? room / height : 1;
  };

  const setZoom = (step) => {
    const middle = [
      (sheet.scrollLeft + sheet.clientWidth / 2) / sheet.scrollWidth,
      (sheet.scrollTop + sheet.clientHeight / 2) / sheet.scrollHeight,
    ];
    zoom = Math.min(Math.max(step, 0), zooms.length - 1);
    drawing.style.width = `${zooms[zoom] * fit * 100}%`;
    sheet.scrollLeft = middle[0] * sheet.scrollWidth - sheet.clientWidth / 2;
    sheet.scrollTop = middle[1] * sheet.scrollHeight - sheet.clientHeight / 2;
    const shown = document.getElementById("zoom");
    if (shown) shown.textContent = `${zooms[zoom] * 100} %`;
  };

  const fitPage = () => {
    measure();
    setZoom(0);
  };

  // Unseen characters are shown as their code points: what is copied has the characters.
  const textOf = (line) => {
    const shown = line.firstElementChild.cloneNode(true);
    for (const code of shown.querySelectorAll(".code")) {
      if (code.classList.contains("mark")) code.remove();
      else code.replaceWith(String.fromCodePoint(Number.parseInt(code.textContent.slice(2), 16)));
    }
    return shown.textContent;
  };

  const copy = async (text, what) => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without https there is no clipboard to ask for; the older way still works.
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      done = document.execCommand("copy");
      field.remove();
      list.focus();
    }
    document.getElementById("said").textContent = done ? `${what} copied.` : "The browser does not let this page copy.";
  };

  const copyLine = () => {
    if (chosen >= 0) copy(textOf(lines[chosen]), "Line");
  };
  const copyAll = () => copy(lines.map(textOf).join("\n"), lines.length === 1 ? "1 line" : `${lines.length} lines`);
  const follow = (name) => document.querySelector(`a[data-key="${name}"]`)?.click();
  const toggleBoxes = () => {
    const bare = sheet.classList.toggle("bare");
    document.querySelector("[data-do=boxes]")?.setAttribute("aria-pressed", String(!bare));
  };

  const doing = {
    in: () => setZoom(zoom + 1),
    out: () => setZoom(zoom - 1),
    fit: fitPage,
    line: copyLine,
    all: copyAll,
    boxes: toggleBoxes,
  };

  for (const place of [list, drawing]) {
    place.addEventListener("pointerover", (event) => heat(lineOf(event.target)));
    place.addEventListener("pointerleave", () => heat(-1));
    place.addEventListener("click", (event) => {
      const index = lineOf(event.target);
      if (index >= 0) choose(index);
    });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) doing[button.dataset.do]();
  });

  const moves = {
    ArrowDown: () => choose(Math.min(chosen + 1, lines.length - 1)),
    ArrowUp: () => choose(Math.max(chosen - 1, 0)),
    Home: () => choose(0),
    End: () => choose(lines.length - 1),
  };
  list.addEventListener("keydown", (event) => {
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  });

  const keys = {
    j: moves.ArrowDown,
    k: moves.ArrowUp,
    c: copyLine,
    C: copyAll,
    "+": doing.in,
    "=": doing.in,
    "-": doing.out,
    0: doing.fit,
    b: toggleBoxes,
    n: () => follow("next"),
    p: () => follow("previous"),
    "]": () => follow("next-page"),
    "[": () => follow("previous-page"),
    Escape: () => follow("back"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  if (drawing !== sheet) {
    fitPage();
    window.addEventListener("resize", () => {
      if (zoom === 0) fitPage();
    });
  }
})();
