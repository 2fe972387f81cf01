/** Worker threads that help to fit scales (`fit-worker.ts`). */
import type { FitHelpers } from "../quants/output-aware/expert-scales.js";
import type { ScaleStep } from "../quants/output-aware/scale-steps.js";
import { WorkerTeam } from "../threads/worker-team.js";

/** Close it at the end. */
export class FitTeam implements FitHelpers {
  readonly #team: WorkerTeam<ScaleStep>;

  private constructor(team: WorkerTeam<ScaleStep>) {
    this.#team = team;
  }

  /** Starts threads, and resolves when they run. `isCancelled` is asked while they are waited for. */
  static async start(
    kernels: WebAssembly.Module | undefined,
    threads: number,
    isCancelled: () => boolean,
  ): Promise<FitTeam> {
    const module = new URL("./fit-worker.js", import.meta.url);
    return new FitTeam(
      await WorkerTeam.start({ module, data: kernels, threads, work: "fits scales", isCancelled }),
    );
  }

  get size(): number {
    return this.#team.size;
  }

  post(step: ScaleStep): void {
    this.#team.postToAll(step);
  }

  wait(): void {
    this.#team.waitForAll();
  }

  /** Ends the threads, whatever they are doing. */
  async close(): Promise<void> {
    await this.#team.close();
  }
}
