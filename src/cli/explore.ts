/** What `explore` prints; a page that is served stays until it is interrupted. */
import { once } from "node:events";
import type { ExploreResult } from "../explore/explore.js";
import { formatBytes } from "../units.js";
import type { View } from "./view.js";

export const view: View<ExploreResult> = {
  use: async ({ output, bytes, server }, { signal, print }) => {
    if (server === undefined) {
      print({ json: { output, bytes }, lines: [`${output}: ${formatBytes(bytes)}`] });
      return undefined;
    }
    const { url } = server;
    print({ json: { url, bytes }, lines: [`open ${url} in a browser; Ctrl-C ends it`] });
    if (!signal.aborted) {
      await once(signal, "abort");
    }
    await server.stop();
    return undefined;
  },
};
