"use strict";
(() => {
  const link = document.getElementById("link"), said = link.firstElementChild;
  const show = (state, text) => { link.dataset.state = state; said.textContent = text; };

  /* Elements stay and change: a click, the focus, a selection and what was scrolled survive the news. */
  const become = (old, fresh) => {
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes ?? []]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes ?? []) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    becomeChildren(old, fresh);
  };
  const becomeChildren = (old, fresh) => {
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const same = child.id ? [...old.children].find(one => one.id === child.id) : at?.id ? null : at;
      if (!same || same.nodeName !== child.nodeName) {
        old.insertBefore(child, at);
        continue;
      }
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      become(same, child);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };

  const source = new EventSource(document.body.dataset.events);
  source.addEventListener("open", () => show("live", "Live"));
  source.addEventListener("error", () => show("lost", "Connection lost; trying again"));
  source.addEventListener("parts", event => {
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      const part = document.getElementById(name);
      if (name === "title") {
        document.title = html;
      } else if (part) {
        const fresh = document.createElement("template");
        fresh.innerHTML = html;
        becomeChildren(part, fresh.content);
      }
    }
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
})();
