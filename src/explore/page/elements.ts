/** Elements of the page. Texts are texts: what a header says is never read as HTML. */

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** Makes an element. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) {
      made.setAttribute(attribute, value === true ? "" : String(value));
    }
  }
  made.append(...children);
  return made;
}

/** Makes an element of a drawing. */
export function svgElement<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string | number>>,
): SVGElementTagNameMap[Name] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, String(value));
  }
  return made;
}

/** The element of the page with this id, which is there. */
export function byId<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`the page has no #${id}.`);
  }
  return found as Kind;
}

/** Replaces what is in an element. */
export function fill(id: string, ...children: readonly (Node | string)[]): void {
  byId(id).replaceChildren(...children);
}

/** Replaces what is in an element that can be folded away, as soon as somebody sees it. */
export function fillWhenOpen(id: string, make: () => readonly Node[]): void {
  const details = byId(id).closest("details");
  const show = () => {
    if (details?.open) {
      fill(id, ...make());
    }
  };
  if (details !== null) {
    details.ontoggle = show;
  }
  show();
}

/** A table of texts; the first column names the rows. */
export function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): HTMLElement {
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...head.map((cell) => element("th", { scope: "col" }, cell)))),
      element(
        "tbody",
        {},
        ...rows.map((row) =>
          element(
            "tr",
            {},
            ...row.map((cell, i) =>
              i === 0 ? element("th", { scope: "row" }, cell) : element("td", { class: "number" }, cell),
            ),
          ),
        ),
      ),
    ),
  );
}
