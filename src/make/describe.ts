/** The stages `card` and `report`: the files that people read. */
import { readFile, rename, stat } from "node:fs/promises";
import { sha256OfFile } from "../bytes/sha256.js";
import { cardText, card as writeCard, report as writeReport } from "../report/write.js";
import type { Recorded } from "./record.js";
import type { MakeRun } from "./run.js";

export interface Described {
  readonly card: { readonly output: string };
  readonly report: { readonly output: string };
}

/** Writes README.md and report.html from the evaluation. A card that was edited is kept beside a new one. */
export async function describe(run: MakeRun, { sha256 }: Recorded): Promise<Described> {
  const { options, folder, stages } = run;
  const { quantizedBy } = options;
  const card = folder.file("README.md");
  await stages.run({
    name: "card",
    inputs: { evaluation: sha256, quantizedBy },
    run: async () => {
      await keepEdited(run, card);
      await writeCard({ folder: folder.path, quantizedBy });
    },
    files: () => [{ path: card }],
    mayBeEdited: true,
  });
  const report = folder.file("report.html");
  await stages.run({
    name: "report",
    inputs: { evaluation: sha256 },
    run: async () => await writeReport({ folder: folder.path }),
    files: () => [{ path: report }],
  });
  return { card: { output: card }, report: { output: report } };
}

/** Puts a card aside that is not as it was written. */
async function keepEdited({ options, folder }: MakeRun, card: string): Promise<void> {
  const { quantizedBy } = options;
  const [written] = folder.state.finished("card")?.files ?? [];
  const found = await stat(card).catch(() => undefined);
  if (found === undefined || (await sha256OfFile(card)) === written?.sha256) {
    return;
  }
  // Written by a run that ended before it could note it.
  if ((await readFile(card, "utf8")) === (await cardText({ folder: folder.path, quantizedBy }))) {
    return;
  }
  const aside = folder.file("README.edited.md");
  await rename(card, aside);
  options.onWarning?.(`${card} was edited and is now out of date: it was kept as ${aside}.`);
}
