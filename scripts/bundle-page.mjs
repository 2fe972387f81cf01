// Bundles the explorer's page from its TypeScript: two scripts, and HiGHS compressed. A module of Node.js among what the
// page imports is an error: nothing of it is there in a browser.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const output = `${root}dist/explore/page`;

await build({
  absWorkingDir: root,
  entryPoints: ["src/explore/page/main.ts", "src/explore/page/solver.ts"],
  outdir: output,
  bundle: true,
  minify: true,
  format: "iife",
  platform: "browser",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  define: { "import.meta.url": '""' },
  tsconfigRaw: {},
  // HiGHS asks for it where it finds itself in Node.js.
  external: ["node:module"],
  logLevel: "warning",
});
const wasm = readFileSync(createRequire(import.meta.url).resolve("highs/runtime"));
writeFileSync(`${output}/highs.wasm.gz`, gzipSync(wasm, { level: constants.Z_BEST_COMPRESSION }));
