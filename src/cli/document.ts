/** What `card` and `report` print. */
import type { DocumentResult } from "../report/write.js";
import type { View } from "./view.js";

export const view: View<DocumentResult> = { lines: ({ output }) => [output] };
