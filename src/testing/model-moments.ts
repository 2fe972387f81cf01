/** Made-up second moments of a model's inputs, as a file. */
import { openModel } from "../model/open.js";
import { type MomentsContent, writeMomentsFile } from "../moments/file.js";
import { inputOf } from "../moments/inputs.js";
import { randomMoments } from "./moments.js";

/** Vectors behind each matrix. */
const vectors = 400;

/** Writes a moments file of a model's routed experts, a matrix for each expert and input. */
export async function writeExpertMoments(model: string, path: string): Promise<void> {
  const source = await openModel(model);
  const inputs = new Map<string, MomentsContent>();
  for (const { name, shape } of source.tensors) {
    const input = inputOf(name);
    if (input?.kind !== "routed") {
      continue;
    }
    const [columns = 1, , experts = 1] = shape;
    inputs.set(input.name, {
      ...{ name: input.name, columns },
      counts: new Float64Array(experts).fill(vectors),
      matrix: (expert) => randomMoments(columns, vectors, 1, expert + 1),
    });
  }
  await source.close();
  const facts = { datasets: ["made up"], chunkCount: 1, chunkSize: 512 };
  await writeMomentsFile(path, facts, [...inputs.values()]);
}
