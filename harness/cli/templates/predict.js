"use strict";
// All text goes in by textContent: names of files and classes are anybody's.
const SHOWN = 5; // classes that are shown at once
const KEPT = 200; // results: the oldest go first, so that the page does not grow without end
const find = (id) => document.getElementById(id);
const waiting = [];
let most = 0, done = 0, failed = 0, isBusy = false;

function made(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function percent(share) {
  if (share > 0.9999) return "> 99.99 %";
  if (share < 0.0001) return "< 0.01 %";
  return (100 * share).toFixed(2) + " %";
}

function table(rows) {
  const body = made("tbody");
  for (const [label, share] of rows) {
    const row = made("tr"), head = made("th", label), meter = made("meter"), cell = made("td");
    head.scope = "row";
    meter.value = share;
    meter.setAttribute("aria-hidden", "true"); // the number beside it says the same
    cell.append(meter);
    row.append(head, cell, made("td", percent(share), "number"));
    body.append(row);
  }
  const whole = made("table");
  whole.append(body);
  return whole;
}

function show(name, answer) {
  const item = made("li"), text = made("div");
  if (answer.error) {
    item.className = "bad";
    text.append(made("h2", "No prediction: " + answer.error), made("p", name, "name"));
  } else {
    const image = made("img");
    image.src = answer.thumbnail;
    image.alt = "";
    item.append(image);
    const [label, share] = answer.classes[0];
    text.append(made("h2", label + ", " + percent(share)), made("p", name, "name"), table(answer.classes.slice(0, SHOWN)));
    if (answer.classes.length > SHOWN) {
      const more = made("details"), rest = answer.classes.slice(SHOWN);
      more.append(made("summary", rest.length + (rest.length === 1 ? " more class" : " more classes")), table(rest));
      text.append(more);
    }
  }
  item.append(text);
  find("results").prepend(item);
  while (find("results").children.length > KEPT) find("results").lastChild.remove();
  find("clear").hidden = false;
}

function tell() {
  const parts = [done + (done === 1 ? " photograph" : " photographs") + " predicted"];
  if (failed) parts.push(failed + " could not be read");
  if (waiting.length || isBusy) parts.push(waiting.length + (isBusy ? 1 : 0) + " to go");
  find("status").textContent = parts.join(", ") + ".";
}

async function ask(file) {
  if (file.size === 0) return { error: "the file is empty, or it is a folder" };
  if (file.size > most) return { error: "the file is larger than " + Math.round(most / 2 ** 20) + " MB" };
  let response;
  try {
    response = await fetch("predict", { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
  } catch {
    return { error: "harness does not answer any more (is harness ui still running?), or the file is a folder" };
  }
  try {
    return await response.json();
  } catch {
    return { error: "harness answered with HTTP " + response.status };
  }
}

async function work() {
  if (isBusy) return;
  isBusy = true;
  while (waiting.length) {
    const file = waiting.shift();
    tell();
    const answer = await ask(file);
    if (answer.error) failed += 1; else done += 1;
    show(file.name || "pasted image", answer);
  }
  isBusy = false;
  tell();
}

function add(files) {
  waiting.push(...files);
  work();
}

find("files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = ""; // the same file may be chosen again
});
document.addEventListener("paste", (event) => add(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) find("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  add(event.dataTransfer.files);
});
find("clear").addEventListener("click", () => {
  waiting.length = done = failed = 0;
  find("results").replaceChildren();
  find("status").textContent = "No photograph yet.";
  find("clear").hidden = true;
  find("files").focus();
});
fetch("about").then((response) => response.json()).then((about) => {
  most = about.most_bytes;
  find("about").textContent = "Model: " + about.source + ". Classes: " + about.classes.join(", ") + ".";
});
