"use strict";
(() => {
  const all = [...document.querySelectorAll("details.x")];
  const texts = all.map((exchange) => exchange.textContent.toLowerCase());
  const [find, kind, fold, found] = ["find", "kind", "fold", "found"].map((id) => document.getElementById(id));
  const choose = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    all.forEach((exchange, place) => {
      const fits = (!kind.value || exchange.dataset.kind === kind.value) && words.every((word) => texts[place].includes(word));
      exchange.hidden = !fits;
      count += fits;
    });
    found.textContent = count === all.length ? "" : `${count} of ${all.length}`;
  };
  let waiting;
  find.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(choose, 120);
  });
  kind.addEventListener("change", choose);
  fold.addEventListener("click", () => {
    const open = fold.textContent === "Unfold all";
    all.forEach((exchange) => {
      exchange.open = open && !exchange.hidden;
    });
    fold.textContent = open ? "Fold all" : "Unfold all";
  });
  const follow = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const exchange = target && target.closest("details.x");
    if (exchange) {
      exchange.hidden = false;
      exchange.open = true;
      exchange.scrollIntoView();
    }
  };
  addEventListener("hashchange", follow);
  document.querySelector(".tools").hidden = all.length === 0;
  follow();
})();
