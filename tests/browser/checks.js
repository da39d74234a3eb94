// What an accessibility checker looks for first (WCAG 2.2 A and AA), written out: labels, roles, names, contrast, sizes.
// Run in a page; gives a list of what is wrong.
() => {
  const bad = [];
  const say = (what, element) => bad.push(`${what}: ${element.outerHTML.slice(0, 160)}`);
  const seen = (element) => element.checkVisibility({ visibilityProperty: true });
  const all = [...document.querySelectorAll("body *")];
  const ids = all.map((element) => element.id).filter(Boolean);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push(`id twice: ${id}`);
  for (const element of all) {
    for (const name of ["aria-labelledby", "aria-describedby", "aria-controls"])
      for (const id of (element.getAttribute(name) ?? "").split(" ").filter(Boolean))
        if (!document.getElementById(id)) say(`${name} of nothing`, element);
    if (element.tabIndex > 0) say("tabindex above 0", element);
  }
  const name = (element) =>
    element.getAttribute("aria-label") || [...(element.labels ?? [])].map((label) => label.textContent).join("") ||
    (element.matches("input, select, textarea") ? "" : element.textContent) || element.title;
  const named = "input, select, textarea, button, a, summary, [role=region], article, aside, nav";
  for (const element of document.querySelectorAll(named)) {
    const labelled = document.getElementById(element.getAttribute("aria-labelledby"))?.textContent;
    if (seen(element) && !(labelled || name(element)).trim()) say("no name", element);
  }
  for (const element of document.querySelectorAll("fieldset")) if (!element.querySelector("legend")) say("no legend", element);
  for (const element of document.querySelectorAll("table")) if (!element.caption) say("no caption", element);
  for (const element of document.querySelectorAll("button, a.button, select, summary")) {
    const box = element.getBoundingClientRect();
    if (seen(element) && (box.width < 24 || box.height < 24)) say(`small target ${box.width}x${box.height}`, element);
  }
  if (document.querySelectorAll("h1").length !== 1) bad.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) bad.push("not one main");
  if (!document.documentElement.lang || !document.title.includes("Preceptor")) bad.push("no language or title");
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const ratio = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  for (const element of all) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !seen(element) || element.closest(":disabled, .sr, [hidden]") || element.matches("option, input:disabled + span")) continue;
    const found = ratio(rgba(getComputedStyle(element).color), ground(element));
    if (found < 4.5) say(`contrast ${found.toFixed(2)}`, element);
  }
  const edged = "input, select, textarea, .segments label span, button:not(.quiet, .icon, .chip-go, .primary)";
  const unedged = "[type=radio], [type=checkbox], input:disabled + span, input:checked + span";
  for (const element of document.querySelectorAll(edged)) {
    if (!seen(element) || element.closest(":disabled, .tools") || element.matches(unedged)) continue;
    const style = getComputedStyle(element);
    if (style.borderStyle === "none" || style.borderWidth === "0px") continue;
    const found = ratio(rgba(style.borderTopColor), ground(element.parentElement));
    if (found < 3) say(`edge ${found.toFixed(2)}`, element);
  }
  return bad;
}
