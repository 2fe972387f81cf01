/** Is there room on the disk for all that a run will write? Found out before the first stage. */
import { checkRoom } from "../bytes/disk.js";
import type { MakeFolder } from "./folder.js";
import type { ResolvedMakeOptions } from "./make-command.js";
import { buildsBaseline, measuresSolution } from "./options.js";
import { wantsScales } from "./scales.js";
import { convertedBytes, isRunInPlace, type SourceFacts } from "./source.js";

/** Bytes of a weight in a baseline of 5 bits. */
const baselineBytes = 5 / 8;

/**
 * Throws an EnvironmentError if the disk of the folder has too little room for what is not there yet: a local copy of
 * the source, the model (once more if a first one is measured, and if scales are fitted) and the baseline. Stages under way have their files already, and check for themselves.
 */
export async function checkRoomFor(
  folder: MakeFolder,
  options: ResolvedMakeOptions,
  facts: SourceFacts,
  model: { readonly bytes: number | undefined },
): Promise<void> {
  const { place, bytes, parameters } = facts;
  const isNew = (stage: string) =>
    folder.state.finished(stage) === undefined && folder.state.underWay(stage) === undefined;
  const copy =
    place === "gguf" || isRunInPlace(facts)
      ? 0
      : place === "remote gguf"
        ? bytes
        : convertedBytes * parameters;
  const baseline = buildsBaseline(options) ? baselineBytes * parameters : 0;
  const needed =
    (isNew("source") ? copy : 0) +
    (isNew("sensitivity") && measuresSolution(options) ? (model.bytes ?? 0) : 0) +
    (isNew("quantize") ? (model.bytes ?? 0) : 0) +
    (isNew("scales") && wantsScales(options) ? (model.bytes ?? 0) : 0) +
    (isNew("baseline") && isNew("baseline model") ? baseline : 0);
  await checkRoom(folder.path, folder.path, Math.ceil(needed));
}
