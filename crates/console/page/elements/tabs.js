// Tabs (WAI-ARIA), with one panel that shows what is selected.

import { h } from "../dom.js";

/**
 * @param {string} label
 * @param {(name: string) => void} onSelect a person chose a tab
 * @param {string} [look] a class
 */
export function tabs(label, onSelect, look = "") {
  const own = `tabs-${label.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  const element = h("div", { class: `tabs ${look}`, role: "tablist", "aria-label": label });
  const panel = h("div", { class: "fills tab-panel", role: "tabpanel", id: own });
  let selected = "";
  /** @type {Map<string, HTMLButtonElement>} */
  const buttons = new Map();

  /** @param {string} name */
  const select = (name) => {
    selected = buttons.has(name) ? name : ([...buttons.keys()][0] ?? "");
    for (const [other, button] of buttons) {
      button.setAttribute("aria-selected", String(other === selected));
      button.tabIndex = other === selected ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `${own}-${selected}`);
  };
  /** @param {number} by @param {boolean} focus */
  const move = (by, focus) => {
    const names = [...buttons.keys()];
    const name = names[(names.indexOf(selected) + by + names.length) % names.length];
    select(name);
    if (focus) buttons.get(name)?.focus();
    onSelect(selected);
  };
  element.addEventListener("keydown", (event) => {
    const by = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1 })[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move(by, true);
  });

  return {
    element,
    panel,
    select,
    move,
    get selected() {
      return selected;
    },
    /** Sets the tabs: name, text, and what is counted there. @param {[string, string, string?, string?][]} list */
    set(list) {
      const had = element.contains(document.activeElement);
      element.replaceChildren();
      buttons.clear();
      for (const [name, text, badge, level] of list) {
        const chosen = () => {
          select(name);
          onSelect(name);
        };
        const button = h("button", { type: "button", role: "tab", id: `${own}-${name}`, "aria-controls": own, onclick: chosen }, text, badge && [" ", h("span", { class: `badge ${level ?? ""}` }, badge)]);
        buttons.set(name, button);
        element.append(button);
      }
      select(selected);
      if (had) buttons.get(selected)?.focus();
    },
  };
}
