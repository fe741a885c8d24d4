// The chapter "From edges to objects": maps of a photograph, over the photograph or alone.

import { choice, live } from "./controls.js";
import { bar, byId, make } from "./elements.js";
import { pageData } from "./page.js";
import { percent } from "./wording.js";
import { t } from "./words.js";

const { photographs, stages } = pageData();
const key = (name, values) => t(`learn.nets.seen.${name}`, values);

const photograph = choice("photograph", show);
const view = choice("view", show);
live(show);

function show() {
  const own = Number(photograph());
  const { name, jpeg, guesses, evidence } = photographs[own];
  byId("photo").src = `data:image/jpeg;base64,${jpeg}`;
  byId("photo").alt = key(`${name}.alt`);
  byId("evidence").replaceChildren(picture(own, evidence, key("evidence", { label: guesses[0].label })));
  byId("evidence-text").textContent = key("evidence", { label: guesses[0].label });
  byId("guesses").replaceChildren(make("tbody", {}, ...guesses.map(guess)));
  for (const list of document.querySelectorAll(".seen")) {
    const stage = stages[list.dataset.stage];
    list.replaceChildren(...stage.chosen[own].map((seen) => tile(seen, own)));
  }
}

function guess({ label, probability }) {
  return make(
    "tr", {}, make("th", { scope: "row", lang: "en" }, label), make("td", { class: "wide-cell" }, bar(probability)),
    make("td", { class: "number" }, percent(probability)),
  );
}

/** Return a channel on the chosen photograph, and below it on the other one. */
function tile({ channel, pictures }, own) {
  const other = 1 - own;
  const name = key("channel", { channel });
  const below = make("span", { class: "other" }, picture(other, pictures[other], key("on", { channel, photograph: key(photographs[other].name) })));
  return make("li", {}, picture(own, pictures[own], key("on", { channel, photograph: key(photographs[own].name) })), below, make("span", { class: "shape", "aria-hidden": "true" }, name));
}

/** Return a map alone, or a photograph that is bright where the map is. */
function picture(index, { png }, label) {
  const map = make("img", { src: `data:image/png;base64,${png}`, alt: "" });
  if (view() === "map") return make("span", { class: "alone", role: "img", "aria-label": label }, map);
  const photo = () => make("img", { src: `data:image/jpeg;base64,${photographs[index].jpeg}`, alt: "" });
  const lit = make("span", { class: "lit" }, photo(), map);
  return make("span", { class: "over", role: "img", "aria-label": label }, photo(), lit);
}
