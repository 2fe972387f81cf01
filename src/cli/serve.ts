/** What `serve` prints; it goes on until it is interrupted. */
import { once } from "node:events";
import type { RunningServer } from "../serve/server.js";
import type { View } from "./view.js";

export const view: View<RunningServer> = {
  use: async (server, { signal, say, print }) => {
    print(await describe(server));
    if (!signal.aborted) {
      await once(signal, "abort");
    }
    say("finishing the running answers; interrupt again to stop at once");
    await server.stop();
    return undefined;
  },
};

async function describe({ url, host, port, modelId, generator }: RunningServer) {
  const contextLength = await generator.contextLength();
  const { slots } = generator;
  return {
    json: { url, host, port, model: modelId, slots, contextLength, processId: process.pid },
    lines: [
      `${modelId} at ${url} (API under ${url}/v1, ${slots} answers at once, ${contextLength} tokens each)`,
    ],
  };
}
