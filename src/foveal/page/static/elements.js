// The only place where the page is built: what comes from files and models becomes text, never markup.

// A new element. properties: `class`, `on` ({event: listener}), `aria-*`, `role` and other attributes.
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== null));
  return node;
}

export const byId = id => document.getElementById(id);

// A name of a file or a class, kept apart from the direction in which the text around it is read.
export const named = (text, tag = "bdi") => element(tag, { title: text, dir: "auto" }, text);

// A square in a class's colour.
export function swatch(colour) {
  const node = element("span", { class: "swatch", "aria-hidden": "true" });
  node.style.backgroundColor = colour;
  return node;
}
