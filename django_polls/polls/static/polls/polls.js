/* Two optional enhancements: results that refresh themselves, and protection against duplicate votes. */
"use strict";

for (const form of document.querySelectorAll("form[data-once]")) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) {
      event.preventDefault();
    }
    sent = true;
  });
  // The browser restores pages from its cache with their state, so reset it.
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
    // Screen readers announce a status when it is written, even if it is unchanged.
    if (element.textContent !== text) {
      element.textContent = text;
    }
  };

  const show = (results) => {
    const rows = new Map([...board.querySelectorAll("[data-choice]")].map((row) => [Number(row.dataset.choice), row]));
    const same = rows.size === results.choices.length && results.choices.every((choice) => rows.has(choice.id));
    if (!same || results.closed) {
      // Choices were edited or voting ended: reload the page from the server.
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

  const showConnection = (lost) => {
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
      showConnection(false);
    } catch {
      pause = Math.min(pause * 2, longestPause);
      showConnection(true);
    }
    schedule();
  };

  // Random jitter, so that clients that opened the page together don't send their requests together.
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
