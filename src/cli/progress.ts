/** Progress on the terminal. */

import { SingleBar } from "cli-progress";
import type { OnProgress, Progress } from "../progress.js";
import { formatCount, formatDuration } from "../units.js";
import { printableLine } from "./terminal.js";

/** More of a name does not fit beside the bar. */
const longestDetail = 100;

/** A progress bar on the terminal; nothing at all when stderr is a pipe or a file. */
export class ProgressBar {
  #bar: SingleBar | undefined;
  #step = "";
  #started = 0;

  /** Shows one event; a new step starts a new bar. */
  readonly update: OnProgress = (progress) => {
    if (!process.stderr.isTTY) {
      return;
    }
    if (!this.#bar || this.#step !== progress.step) {
      this.#start(progress);
    }
    const seconds = (performance.now() - this.#started) / 1000;
    const rate = seconds > 0 ? progress.done / seconds : 0;
    const { secondsLeft } = progress;
    this.#bar?.update(progress.done, {
      rate: `${formatCount(rate)} ${progress.unit}/s`,
      left: secondsLeft === undefined ? "" : formatDuration(Math.round(secondsLeft)),
      detail: printableLine(progress.detail ?? "", longestDetail),
    });
  };

  /** Leaves the last state on the screen and ends the line. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #start(progress: Progress): void {
    this.stop();
    this.#step = progress.step;
    this.#started = performance.now();
    this.#bar = new SingleBar({
      format: `${progress.step} {bar} {percentage}% | ${progress.secondsLeft === undefined ? "{rate} | {eta_formatted}" : "{left}"} left | {detail}`,
      stream: process.stderr,
      barsize: 24,
      etaBuffer: 200,
      hideCursor: true,
    });
    this.#bar.start(progress.total, 0, { rate: "", left: "", detail: "" });
  }
}
