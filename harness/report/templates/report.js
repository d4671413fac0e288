"use strict";
(function () {
  // The page works without this script, which only filters and sorts its content. It never makes HTML from text.
  var find = function (id) { return document.getElementById(id); };
  var list = find("gallery"), filter = find("filter"), sort = find("sort"), status = find("status");
  var items = list ? Array.prototype.slice.call(list.children) : [];
  var cell = "";

  var compare = {
    order: function (a, b) { return a.dataset.order - b.dataset.order; },
    sure: function (a, b) { return b.dataset.share - a.dataset.share; },
    unsure: function (a, b) { return a.dataset.share - b.dataset.share; },
    "true": function (a, b) { return a.dataset["true"].localeCompare(b.dataset["true"]); },
    said: function (a, b) { return a.dataset.said.localeCompare(b.dataset.said); },
    path: function (a, b) { return a.dataset.path.localeCompare(b.dataset.path); }
  };

  function show() {
    var sorted = items.slice().sort(function (a, b) { return compare[sort.value](a, b) || compare.order(a, b); });
    var count = 0, last = null;
    sorted.forEach(function (item) {
      var wrong = item.classList.contains("wrong");
      var visible = cell ? item.dataset.cell === cell
        : filter.value === "all" || (filter.value === "errors") === wrong;
      item.hidden = !visible;
      if (visible) { count += 1; last = item; }
      list.appendChild(item);
    });
    var things = cell ? "image" : filter.value === "errors" ? "error" : filter.value === "right" ? "right prediction" : "prediction";
    var text = count + " " + things + (count === 1 ? " is" : "s are") + " listed";
    if (cell && last) { text += ": class " + last.dataset["true"] + " predicted as " + last.dataset.said; }
    status.textContent = text + ".";
    Array.prototype.forEach.call(document.querySelectorAll("a[data-cell]"), function (link) {
      if (link.dataset.cell === cell) { link.setAttribute("aria-current", "true"); } else { link.removeAttribute("aria-current"); }
    });
    var option = filter.querySelector("option[value=cell]");
    if (cell && !option) {
      option = document.createElement("option");
      option.value = "cell";
      option.textContent = "one cell of the matrix";
      filter.appendChild(option);
    } else if (!cell && option) {
      option.remove();
    }
    if (cell) { filter.value = "cell"; }
  }

  function choose(name) {
    var known = items.some(function (item) { return item.dataset.cell === name; });
    if (!known) { return false; }
    cell = name;
    show();
    return true;
  }

  function go(target) {
    target.scrollIntoView();
    target.focus({ preventScroll: true });
  }

  function remember(hash) {
    try { history.replaceState(null, "", hash); } catch (error) { /* in a frame without an origin */ }
  }

  if (list && items.length) {
    find("controls").hidden = false;
    if (!items.some(function (item) { return item.classList.contains("wrong"); })) { filter.value = "all"; }
    filter.addEventListener("change", function () { cell = ""; remember("#images"); show(); });
    sort.addEventListener("change", show);
    window.addEventListener("hashchange", function () {
      if (choose(location.hash.slice(1))) { go(find("h-images")); }
    });
    if (!choose(location.hash.slice(1))) { show(); } else { go(find("h-images")); }
  }

  document.addEventListener("click", function (event) {
    var link = event.target.closest ? event.target.closest("a[href^='#']") : null;
    if (!link) { return; }
    var name = link.getAttribute("href").slice(1);
    if (link.dataset.cell && choose(name)) {
      event.preventDefault();
      remember("#" + name);
      go(find("h-images"));
    } else if (location.protocol !== "file:" && find(name)) { // in a frame, the browser may look for the fragment in the outer page
      event.preventDefault();
      go(find(name));
    }
  });

  function value(row, column) {
    var box = row.children[column];
    return box.dataset.value !== undefined ? box.dataset.value : box.textContent.trim();
  }

  Array.prototype.forEach.call(document.querySelectorAll("table.sortable"), function (table) {
    var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
    heads.forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var rows = Array.prototype.slice.call(table.tBodies[0].rows);
        rows.sort(function (a, b) {
          var x = value(a, column), y = value(b, column);
          if (x === "" || y === "") { return (x === "") - (y === ""); }
          var numbers = !isNaN(x) && !isNaN(y);
          return (down ? -1 : 1) * (numbers ? x - y : x.localeCompare(y));
        });
        rows.forEach(function (row) { table.tBodies[0].appendChild(row); });
      });
    });
  });

  window.addEventListener("beforeprint", function () {
    Array.prototype.forEach.call(document.querySelectorAll("details"), function (part) { part.open = true; });
  });
})();
