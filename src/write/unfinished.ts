/**
 * An output on its way: its files under other names, the journal of what is in them, and the lock that keeps
 * other processes out. It outlasts the process; `--resume` finds it again.
 */
import { rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { allocatedBytes, checkRoom, finalPlace } from "../bytes/disk.js";
import { FileLock } from "../bytes/lock.js";
import { hiddenPath, OutputFile, partialPathOf } from "../bytes/output.js";
import { UsageError } from "../errors.js";
import { checkSame } from "./fingerprint.js";
import { Journal, type JournalStart } from "./journal.js";

/** What to do about an unfinished run of the same output: refuse to touch it, go on with it, or throw it away. */
export type Restart = "refuse" | "resume" | "restart";

export interface UnfinishedPlan extends JournalStart {
  /** The path asked for: one of the files, or what the names of a set are made of. */
  readonly output: string;
  readonly files: readonly { readonly path: string; readonly byteLength: number }[];
}

/** A file of the plan with its place on the disk. */
interface Place {
  readonly path: string;
  readonly byteLength: number;
  readonly target: string;
  readonly partial: string;
}

export class Unfinished {
  readonly #lock: FileLock;
  /** In the plan's order. */
  readonly files: readonly OutputFile[];
  readonly journal: Journal;
  /** Whether there may be slices from an earlier run. */
  readonly resumed: boolean;

  private constructor(files: readonly OutputFile[], journal: Journal, resumed: boolean, lock: FileLock) {
    this.files = files;
    this.journal = journal;
    this.resumed = resumed;
    this.#lock = lock;
  }

  /**
   * Opens the output for writing. Throws a UsageError if there is an unfinished run that is not to be touched,
   * was begun differently or is being written by another process; an EnvironmentError if the disk has too little
   * room or cannot be written.
   */
  static async open(plan: UnfinishedPlan, restart: Restart): Promise<Unfinished> {
    const target = await finalPlace(plan.output);
    const places = await Promise.all(plan.files.map(placeOf));
    const journalPath = hiddenPath(target, "journal");
    const lock = await FileLock.acquire(target);
    let earlier: Journal | undefined;
    try {
      earlier = await Journal.open(journalPath);
      const leftovers = await existing([journalPath, ...places.map(({ partial }) => partial)]);
      if (leftovers.length > 0 && restart === "refuse") {
        throw await untouchable(plan, earlier, leftovers);
      }
      const continued = restart === "resume" ? earlier : undefined;
      if (continued) {
        checkSame(plan.output, continued.start.fingerprint, plan.fingerprint);
        await takeBack(places, continued);
      } else {
        await earlier?.close();
        await Promise.all(leftovers.map((path) => rm(path, { force: true })));
      }
      await checkSetRoom(plan.output, dirname(target), places);
      const journal = continued ?? (await Journal.create(journalPath, plan));
      const resumed = continued !== undefined;
      return new Unfinished(await openFiles(places, journal, resumed), journal, resumed, lock);
    } catch (error) {
      await earlier?.close();
      await lock.release();
      throw error;
    }
  }

  /** Gives the files their names. Of a set the first, by which it is opened, comes last. */
  async commit(): Promise<void> {
    for (const file of this.files.toReversed()) {
      await file.commit();
    }
    await this.journal.remove();
    await this.#lock.release();
  }

  /** Leaves everything for a later run. */
  async keep(): Promise<void> {
    await Promise.all(this.files.map((file) => file.keep()));
    await this.journal.close();
    await this.#lock.release();
  }

  /** Removes everything. */
  async discard(): Promise<void> {
    await Promise.all(this.files.map((file) => file.discard()));
    await this.journal.remove();
    await this.#lock.release();
  }
}

async function placeOf({ path, byteLength }: UnfinishedPlan["files"][number]): Promise<Place> {
  const target = await finalPlace(path);
  return { path, byteLength, target, partial: partialPathOf(target) };
}

async function existing(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
  return paths.filter((_, index) => found[index] !== undefined);
}

async function untouchable(
  { output, slices }: UnfinishedPlan,
  journal: Journal | undefined,
  leftovers: readonly string[],
): Promise<UsageError> {
  let done = 0;
  if (journal) {
    for await (const _ of journal.records()) {
      done++;
    }
  }
  const progress = `${Math.floor((100 * done) / Math.max(1, slices))} %`;
  return new UsageError(
    `${output}: an earlier run was not finished (${progress} done); continue it with \`resume\`, or start over with \`restart\`.`,
    { file: output, leftovers: leftovers.join(", ") },
  );
}

/**
 * A run that was interrupted between giving its files their names and removing the journal had finished all
 * slices. Its files go back to where an unfinished run has them, and are checked like any other.
 */
async function takeBack(places: readonly Place[], journal: Journal): Promise<void> {
  let done = 0;
  for await (const _ of journal.records()) {
    done++;
  }
  if (done < journal.start.slices) {
    return;
  }
  for (const { target, partial, byteLength } of places) {
    const [atPartial, atTarget] = await Promise.all(
      [partial, target].map((path) => stat(path).catch(() => undefined)),
    );
    if (atPartial === undefined && atTarget?.size === byteLength) {
      await rename(target, partial);
    }
  }
}

async function checkSetRoom(output: string, folder: string, places: readonly Place[]): Promise<void> {
  let needed = 0;
  for (const { byteLength, partial } of places) {
    needed += byteLength - (await allocatedBytes(partial));
  }
  await checkRoom(output, folder, needed);
}

async function openFiles(
  places: readonly Place[],
  journal: Journal,
  resumed: boolean,
): Promise<OutputFile[]> {
  const files: OutputFile[] = [];
  try {
    for (const { path, byteLength } of places) {
      files.push(await OutputFile.continue(path, byteLength));
    }
    return files;
  } catch (error) {
    if (resumed) {
      await Promise.all(files.map((file) => file.keep()));
      await journal.close();
    } else {
      await Promise.all(files.map((file) => file.discard()));
      await journal.remove();
    }
    throw error;
  }
}
