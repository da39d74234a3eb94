/**
 * Building the page. Everything that is shown goes through `h` and ends in text nodes: no string ever becomes HTML here.
 */

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected"]);

/**
 * An element. `h("button.primary", {type: "button", onclick: go}, "Go")`. Children that are null or false are left out.
 *
 * @param {string} what tag with classes: "div.card.wide"
 * @param {Object<string, any>} [attributes] on* are listeners, true is an empty attribute, null and false are left out
 * @param {...any} children elements, strings, numbers, or lists of them
 * @returns {HTMLElement}
 */
export function h(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  fill(element, ...children);
  return element;
}

/** Add children to an element. */
export function fill(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Put children in place of what an element holds. */
export function refill(element, ...children) {
  element.replaceChildren();
  return fill(element, ...children);
}

let count = 0;

/** An id that nothing else on the page has. */
export function newId(prefix) {
  count += 1;
  return `${prefix}-${count}`;
}

/** A field with its label above it, and a hint below. `control` gets the id that the label names. */
export function field(label, control, hint = null) {
  control.id ||= newId("field");
  const below = hint ? h("p.hint", { id: newId("hint") }, hint) : null;
  if (below) control.setAttribute("aria-describedby", below.id);
  return h("div.field", {}, h("label", { for: control.id }, label), control, below);
}

/** A `select` of [value, label] pairs. */
export function select(options, value, attributes = {}) {
  return h(
    "select",
    attributes,
    options.map(([key, label]) => h("option", { value: key, selected: key === value }, label)),
  );
}

/** A text box that grows with what is in it, so that the page scrolls and not the box. */
export function growing(attributes = {}) {
  const box = h("textarea", { rows: 4, dir: "auto", spellcheck: "true", ...attributes });
  const grow = () => {
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight + 2}px`;
  };
  box.addEventListener("input", grow);
  requestAnimationFrame(grow);
  return box;
}

/** A table of text: heads, and rows of cells. The first cell of a row is its head. */
export function table(caption, heads, rows, empty) {
  if (!rows.length) return h("p.muted", {}, empty);
  const cell = (content, k) => (k ? h("td", {}, content) : h("th", { scope: "row" }, content));
  return h(
    "div.scroll",
    { role: "region", "aria-label": caption, tabindex: 0 },
    h(
      "table",
      {},
      h("caption.sr", {}, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))),
    ),
  );
}

/** A bar of progress with its figure, 0 to 1. */
export function meter(share, label) {
  const bar = h("span.bar", { "aria-hidden": "true" }, h("span", {}));
  bar.firstChild.style.width = `${Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10}%`;
  return h("span.meter", {}, bar, h("span.num", {}, label));
}
