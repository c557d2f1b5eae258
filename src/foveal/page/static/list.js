// The detections as a list: one stop of the Tab key, arrows inside.

import { byId, element, named, swatch } from "./elements.js";

const PAGE = 10; // rows of PageUp and PageDown

// onselect(row or null); onenter(row): the Enter key, or a double click.
export function createList(colours, { onselect, onenter }) {
  const list = byId("detections");
  let [rows, selected] = [[], null];

  function choose(place) {
    if (rows.length) onselect(rows[Math.min(Math.max(place, 0), rows.length - 1)]);
  }

  list.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const place = rows.indexOf(selected);
    const places = {
      ArrowDown: place + 1, ArrowUp: place < 0 ? rows.length - 1 : place - 1,
      Home: 0, End: rows.length - 1, PageDown: place + PAGE, PageUp: place - PAGE,
    };
    if (event.key in places) choose(places[event.key]);
    else if (event.key === "Escape") onselect(null);
    else if (event.key === "Enter" && selected !== null) onenter(selected);
    else return;
    event.preventDefault();
  });

  function option(row, place) {
    const [x1, y1, x2, y2] = row.box.map(Math.round);
    const size = `${x2 - x1} × ${y2 - y1} at ${x1}, ${y1}`;
    return element("li", {
      role: "option", id: `detection-${place}`, "aria-selected": "false",
      "aria-label": `${row.name}, score ${row.score.toFixed(2)}, ${x2 - x1} by ${y2 - y1} pixels, ${x1} from the left, ${y1} from the top`,
      on: { click: () => onselect(row === selected ? null : row), dblclick: () => onenter(row) },
    }, swatch(colours[row.label % colours.length][0]), named(row.name), element("span", { class: "score" }, row.score.toFixed(2)),
    element("small", {}, size));
  }

  return {
    update(shown, chosen) {
      if (shown !== rows) {
        rows = shown;
        list.replaceChildren(...rows.map(option));
        list.hidden = rows.length === 0;
      }
      const before = selected;
      selected = chosen;
      list.children[rows.indexOf(before)]?.setAttribute("aria-selected", "false");
      const place = rows.indexOf(selected);
      if (place < 0) return list.removeAttribute("aria-activedescendant");
      const item = list.children[place];
      item.setAttribute("aria-selected", "true");
      list.setAttribute("aria-activedescendant", item.id);
      const [above, below] = [item.offsetTop - list.scrollTop, item.offsetTop + item.offsetHeight - list.scrollTop];
      if (above < 0) list.scrollTop += above; // not scrollIntoView: the page itself stays where it is
      else if (below > list.clientHeight) list.scrollTop += below - list.clientHeight;
    },
  };
}
