"use strict";
// Every text from the traces goes into the page as text (textContent), never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("filter");
const list = document.getElementById("hunks");
const end = document.getElementById("end");
const SIGN = { same: " ", insert: "+", delete: "-", change: "~", move: ">" };
const PAGE = 100, PRINTED = 2000;
const names = data.registers.map((name) => name.toLowerCase());
let chosen = [], shown = 0;

function element(tag, kind, text) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}

// A value with the digits marked that the other one has not.
function digits(value, other) {
  const cell = element("td", "value");
  if (value === null || other === null || value === other || value === "?" || other === "?") {
    cell.textContent = value === null ? "" : value;
    return cell;
  }
  const mine = value.slice(2), theirs = other.slice(2).padStart(mine.length, "0").slice(-mine.length);
  cell.append("0x");
  for (let at = 0; at < mine.length;) {
    let stop = at + 1;
    const differs = mine[at] !== theirs[at];
    while (stop < mine.length && (mine[stop] !== theirs[stop]) === differs) stop++;
    cell.append(differs ? element("b", "", mine.slice(at, stop)) : mine.slice(at, stop));
    at = stop;
  }
  return cell;
}

function line([kind, register, a, before, b, after]) {
  const row = element("tr", kind);
  row.append(element("td", "", SIGN[kind]), element("td", "place", data.registers[register]));
  row.append(element("td", "number", a ?? ""), digits(before, kind === "change" ? after : null));
  row.append(element("td", "number", b ?? ""), digits(after, kind === "change" ? before : null), element("td", "rest"));
  return row;
}

function drawn(hunk) {
  const box = element("article", "hunk " + hunk.class);
  const title = element("h3", "", `${hunk.number}. ${hunk.kind}, ${hunk.class}: ${hunk.reason} `);
  title.append(element("code", "", hunk.place));
  const table = element("table");
  const head = element("tr");
  for (const [kind, text] of [["", ""], ["", "register"], ["number", "# a"], ["value", "value a"], ["number", "# b"], ["value", "value b"], ["rest", ""]])
    head.append(element("th", kind, text));
  table.append(head, ...hunk.rows.map(line));
  box.append(title);
  if (hunk.rows.length) box.append(table);
  if (hunk.left) box.append(element("p", "note", `${hunk.left.toLocaleString("en")} more accesses of this hunk are not in this page.`));
  return box;
}

function more(count) {
  list.append(...chosen.slice(shown, shown + count).map(drawn));
  shown = Math.min(chosen.length, shown + count);
  end.textContent = shown < chosen.length ? `${chosen.length - shown} more below; scroll on.` : data.note;
  return shown < chosen.length;
}

function checked(name) {
  return [...form.querySelectorAll(`input[name=${name}]`)].filter((box) => box.checked).map((box) => box.value);
}

// The registers of a hunk's differing accesses; the page says them where it has not all rows.
function touched(hunk) {
  return hunk.registers ?? hunk.rows.filter((row) => row[0] !== "same").map((row) => row[1]);
}

function apply() {
  const classes = new Set(checked("class")), kinds = new Set(checked("kind"));
  const wanted = form.elements.register.value.trim().toLowerCase();
  const fits = names.map((name) => name.includes(wanted));
  chosen = data.hunks.filter((hunk) => classes.has(hunk.class) && kinds.has(hunk.kind) && (!wanted || touched(hunk).some((register) => fits[register])));
  list.replaceChildren();
  shown = 0;
  more(PAGE);
  document.getElementById("count").textContent = `${chosen.length} of ${data.total} hunks`;
}

// The filter as an address, #class=driver&kind=change,move&register=0x410, so that a link shows what its sender saw.
function read() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const usual = data.hunks.some((hunk) => hunk.class === "driver") ? ["driver"] : ["driver", "volatile"];
  for (const box of form.querySelectorAll("input[type=checkbox]")) {
    const values = asked.has(box.name) ? asked.get(box.name).split(",") : box.name === "class" ? usual : [box.value];
    box.checked = values.includes(box.value);
  }
  form.elements.register.value = asked.get("register") ?? "";
  apply();
}

function changed() {
  const asked = new URLSearchParams({ class: checked("class").join(","), kind: checked("kind").join(",") });
  const wanted = form.elements.register.value.trim();
  if (wanted) asked.set("register", wanted);
  // Browsers refuse this for some local files, and after very many calls.
  try { history.replaceState(null, "", "#" + asked); } catch { }
  apply();
}

form.addEventListener("input", changed);
form.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", read);
window.addEventListener("beforeprint", () => {
  while (shown < PRINTED && more(PAGE));
  if (shown < chosen.length) end.textContent = `${chosen.length - shown} more hunks are not printed.`;
});
for (const cell of document.querySelectorAll(".registers td:first-child")) {
  const button = element("button", "", cell.textContent);
  button.type = "button";
  button.title = "Show the hunks of this register";
  button.addEventListener("click", () => {
    form.elements.register.value = cell.textContent;
    changed();
    document.getElementById("browse").scrollIntoView();
  });
  cell.replaceChildren(button);
}
document.getElementById("browse").hidden = false;
new IntersectionObserver((seen) => {
  if (seen.some((entry) => entry.isIntersecting)) while (more(PAGE) && end.getBoundingClientRect().top < innerHeight);
}, { rootMargin: "600px" }).observe(end);
read();
