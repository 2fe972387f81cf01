// Writes src/quants/grids-packed.ts: the grids of the IQ formats, read out of llama.cpp's decoders.
// Run after a build: node scripts/generate-grids.mjs
import { writeFileSync } from "node:fs";
import { packedGridsSource } from "../dist/testing/read-grids.js";

writeFileSync(new URL("../src/quants/grids-packed.ts", import.meta.url), packedGridsSource());
