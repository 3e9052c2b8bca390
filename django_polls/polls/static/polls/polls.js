/* Two comforts; every page works without them: results that keep themselves up to date, and no vote sent twice. */
"use strict";

for (const form of document.querySelectorAll("form[data-once]")) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) {
      event.preventDefault();
    }
    sent = true;
  });
  // A page that comes back from the browser's memory has not been sent by this visit.
  addEventListener("pageshow", () => {
    sent = false;
  });
}

const board = document.querySelector("[data-results-url]");
const live = document.querySelector("[data-live]");

if (board && live) {
  const period = Number(board.dataset.refreshSeconds) * 1000;
  const longestPause = 30000;
  let etag = "";
  let pause = period;
  let timer = 0;

  const unit = (votes) => (votes === 1 ? "vote" : "votes");

  const write = (element, text) => {
    // An unchanged status would be read out again and again.
    if (element.textContent !== text) {
      element.textContent = text;
    }
  };

  const show = (results) => {
    const rows = new Map([...board.querySelectorAll("[data-choice]")].map((row) => [Number(row.dataset.choice), row]));
    const same = rows.size === results.choices.length && results.choices.every((choice) => rows.has(choice.id));
    if (!same || results.closed) {
      // Choices were edited, or voting ended: the server draws that better.
      location.reload();
      return;
    }
    for (const choice of results.choices) {
      const row = rows.get(choice.id);
      write(row.querySelector("[data-votes]"), String(choice.votes));
      write(row.querySelector("[data-unit]"), unit(choice.votes));
      write(row.querySelector("[data-percent]"), String(choice.percent));
      row.querySelector(".share").setAttribute("width", `${choice.percent}%`);
    }
    write(board.querySelector("[data-total]"), String(results.total));
    write(board.querySelector("[data-total-unit]"), unit(results.total));
  };

  const tell = (lost) => {
    live.classList.toggle("lost", lost);
    write(live.querySelector("[data-live-text]"), lost ? "no connection, trying again" : "live");
  };

  const refresh = async () => {
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      const response = await fetch(board.dataset.resultsUrl, { headers, cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (response.ok) {
        etag = response.headers.get("ETag") ?? "";
        show(await response.json());
      } else if (response.status !== 304) {
        throw new Error(`status ${response.status}`);
      }
      pause = period;
      tell(false);
    } catch {
      pause = Math.min(pause * 2, longestPause);
      tell(true);
    }
    schedule();
  };

  // A little chance, so that everybody who came with one announcement does not ask in the same instant for ever.
  const schedule = () => {
    clearTimeout(timer);
    if (!document.hidden) {
      timer = setTimeout(refresh, pause * (0.9 + Math.random() * 0.2));
    }
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
    } else {
      refresh();
    }
  });

  live.hidden = false;
  schedule();
}
