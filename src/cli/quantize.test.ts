import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { copyFile, mkdir, open, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { planGguf } from "../gguf/layout.js";
import { writeMomentsFile } from "../moments/file.js";
import type { QuantizeResult } from "../quantize/quantize.js";
import { fixture, lopsided } from "../testing/command.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { randomMoments } from "../testing/moments.js";
import { referenceMetadata, referenceTensors } from "../testing/reference-geometry.js";
import { temporaryFolder } from "../testing/temporary.js";

const tiny = fixture("tiny-moe-q8_0.gguf");
const asymmetric = ["--recipe", "asym-2bit-experts", "--allow-requantize"];
const withImatrix = ["--imatrix", fixture("reference/imatrix.gguf")];

async function quantizeJson(args: readonly string[]): Promise<QuantizeResult> {
  const { status, stdout, stderr } = await lopsided(["quantize", ...args, "--json"]);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as QuantizeResult;
}

/** A file with a model's header and all its length, but without its weights. */
async function headerOnly(path: string): Promise<string> {
  const layout = planGguf({ metadata: referenceMetadata(), tensors: referenceTensors() });
  await writeFile(path, layout.header);
  await truncate(path, layout.byteLength);
  return path;
}

describe("lopsided quantize", () => {
  it("gives every tensor of the tiny model the type that llama-quantize chose", async (t) => {
    const folder = await temporaryFolder(t);
    const reference = JSON.parse(await readFile(fixture("reference/types.json"), "utf8"));
    for (const [recipe, name] of [
      ["asym-2bit-experts", "asym"],
      ["Q4_K_M", "Q4_K_M"],
      ["IQ3_S", "IQ3_S"],
    ]) {
      const result = await quantizeJson([
        tiny,
        join(folder, "x.gguf"),
        "--recipe",
        recipe as string,
        "--allow-requantize",
        "--dry-run",
        ...withImatrix,
      ]);
      const types = Object.fromEntries(result.tensors.map(({ name, to }) => [name, to]));
      assert.deepEqual(types, reference[name as string]);
    }
    assert.deepEqual(await readdir(folder), []);
  });

  it("writes the same bytes with 1, 2 and 5 threads, and reports them", async (t) => {
    const folder = await temporaryFolder(t);
    const checksums = new Set<string | undefined>();
    for (const threads of ["1", "2", "5"]) {
      const output = join(folder, `${threads}.gguf`);
      const result = await quantizeJson([tiny, output, ...asymmetric, ...withImatrix, "--threads", threads]);
      checksums.add(result.sha256);
      assert.equal(result.bytes, (await readFile(output)).byteLength);
      for (const { name, from, to, relativeError } of result.tensors) {
        const expected = from === to ? [0, 0] : [1e-6, 0.15];
        assert.ok(relativeError !== undefined, name);
        assert.ok(relativeError >= (expected[0] as number), `${name}: ${relativeError}`);
        assert.ok(relativeError <= (expected[1] as number), `${name}: ${relativeError}`);
      }
    }
    assert.equal(checksums.size, 1);
  });

  it("takes the older .dat imatrix as well", async (t) => {
    const folder = await temporaryFolder(t);
    const dat = ["--imatrix", fixture("reference/imatrix.dat")];
    const result = await quantizeJson([tiny, join(folder, "dat.gguf"), ...asymmetric, ...dat]);
    assert.equal(result.tensors.find(({ name }) => name === "blk.0.ffn_gate_exps.weight")?.to, "IQ2_S");
  });

  it("plans the reference case to the byte from its header alone", async (t) => {
    const folder = await temporaryFolder(t);
    const source = await headerOnly(join(folder, "30b.gguf"));
    const result = await quantizeJson([
      source,
      join(folder, "out.gguf"),
      "--recipe",
      "asym-2bit-experts",
      "--dry-run",
    ]);
    assert.equal(result.tensorBytes, 11_414_441_984);
    assert.equal(result.bpw.toFixed(2), "2.99");
    assert.equal(result.sha256, undefined);
    const count = (pattern: RegExp, type: string) =>
      result.tensors.filter(({ name, to }) => pattern.test(name) && to === type).length;
    assert.equal(count(/ffn_gate_exps/, "IQ2_S"), 48);
    assert.equal(count(/ffn_up_exps/, "IQ2_S"), 48);
    assert.equal(count(/ffn_down_exps/, "IQ3_S"), 48);
    assert.equal(count(/attn_(q|k|v|output)\.weight/, "Q4_K"), 192);
    assert.equal(count(/^token_embd/, "Q6_K"), 1);
    assert.equal(count(/^output\.weight/, "Q6_K"), 1);
    assert.deepEqual(await readdir(folder), ["30b.gguf"]);
  });

  it("says in a dry run what a real run would lack", async (t) => {
    const folder = await temporaryFolder(t);
    const args = [tiny, join(folder, "out.gguf"), "--recipe", "asym-2bit-experts", "--dry-run"];
    const { status, stderr } = await lopsided(["quantize", ...args]);
    assert.equal(status, 0);
    assert.match(
      stderr,
      /^warning: the real run would be refused: the source is quantized already \(Q8_0\)/m,
    );
    assert.match(stderr, /^warning: the real run would be refused: type IQ2_S needs an importance matrix/m);
  });

  it("warns of rows too small for a type instead of stopping", async (t) => {
    const folder = await temporaryFolder(t);
    const source = await writeGgufFile(join(folder, "small.gguf"), {
      metadata: { "general.architecture": "llama", "llama.block_count": 1 },
      tensors: [
        {
          name: "blk.0.ffn_up.weight",
          shape: [32, 2],
          type: "F32",
          data: new Uint8Array(new Float32Array(64).fill(1, 0, 32).fill(1e-12, 32).buffer),
        },
      ],
    });
    const args = [source, join(folder, "out.gguf"), "--recipe", "Q4_0", "--pure"];
    const { status, stderr } = await lopsided(["quantize", ...args]);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^warning: blk\.0\.ffn_up\.weight: 1 of 2 rows became all zero as Q4_0/m);
    const verified = await lopsided(["verify", join(folder, "out.gguf"), "--source", source]);
    assert.equal(verified.status, 0, verified.stderr);
    assert.match(verified.stderr, /^warning: \S+: blk\.0\.ffn_up\.weight: 1 rows are all zero/m);
  });

  it("keeps what is done when it is stopped, and says how to go on", async (t) => {
    const folder = await temporaryFolder(t);
    const source = await headerOnly(join(folder, "30b.gguf"));
    const args = ["quantize", source, join(folder, "out.gguf"), "--recipe", "Q4_0", "--allow-requantize"];
    const when = () => journalSize(folder) > 1000;
    const stopped = await lopsided(args, { signal: "SIGINT", when });
    assert.equal(stopped.stderr, "lopsided: stopped; run the same command with --resume to continue.\n");
    assert.equal(stopped.status, 130);
    assert.deepEqual((await readdir(folder)).sort(), [".out.gguf.journal", ".out.gguf.partial", "30b.gguf"]);

    const refused = await lopsided(args);
    assert.match(
      refused.stderr,
      /out\.gguf: an earlier run was not finished \(\d+ % done\); continue it with --resume, or start over with --restart\./,
    );
    assert.equal(refused.status, 2);
    const other = await lopsided([...args, "--resume", "--pure"]);
    assert.match(
      other.stderr,
      /its unfinished run was begun with another set of options and another set of types; repeat/,
    );
    assert.equal(other.status, 2);

    const size = journalSize(folder);
    const resumed = await lopsided([...args, "--resume"], {
      signal: "SIGINT",
      when: () => journalSize(folder) > size,
    });
    assert.equal(resumed.status, 130, resumed.stderr);
  });

  it("gives the same bytes however often it is killed", async (t) => {
    const folder = await temporaryFolder(t);
    const output = join(folder, "out.gguf");
    const args = [tiny, output, "--recipe", "Q4_K_M", "--allow-requantize", "--threads", "1"];
    let kills = 0;
    for (; kills < 4; kills++) {
      const when = journalSeen(folder, 150 * kills);
      const { status, stderr } = await lopsided(["quantize", ...args, "--resume"], {
        signal: "SIGKILL",
        when,
      });
      if (status === 0) {
        break; // done before the signal came
      }
      assert.equal(status, null, stderr);
    }
    assert.ok(kills > 0);
    const resumed = await quantizeJson([...args, "--resume"]);
    const whole = await quantizeJson([tiny, join(folder, "whole.gguf"), ...args.slice(2)]);
    assert.equal(resumed.sha256, whole.sha256);
    assert.deepEqual(resumed.tensors, whole.tensors);
    assert.deepEqual((await readdir(folder)).sort(), ["out.gguf", "whole.gguf"]);
  });
});

/** Bytes in the journal of an unfinished `folder/out.gguf`; 0 if there is none. */
function journalSize(folder: string): number {
  return statSync(join(folder, ".out.gguf.journal"), { throwIfNoEntry: false })?.size ?? 0;
}

/** Whether this long has passed since the journal was first seen. */
function journalSeen(folder: string, ms: number): () => boolean {
  let seen: number | undefined;
  return () => {
    if (seen === undefined && journalSize(folder) > 0) {
      seen = performance.now();
    }
    return seen !== undefined && performance.now() - seen >= ms;
  };
}

describe("lopsided quantize refuses, in one sentence and without writing anything,", () => {
  const cases: {
    readonly what: string;
    readonly prepare?: (folder: string) => Promise<unknown>;
    readonly args: (folder: string) => readonly string[];
    readonly status: number;
    readonly message: RegExp;
  }[] = [
    {
      what: "a missing source",
      args: (folder) => [join(folder, "none.gguf"), join(folder, "out.gguf"), "--recipe", "Q4_0"],
      status: 1,
      message: /none\.gguf: no such file; check the path\.$/m,
    },
    {
      what: "a source that is cut inside its header",
      prepare: async (folder) => {
        await copyFile(tiny, join(folder, "cut.gguf"));
        await truncate(join(folder, "cut.gguf"), 20_000);
      },
      args: (folder) => [join(folder, "cut.gguf"), join(folder, "out.gguf"), "--recipe", "Q4_0"],
      status: 1,
      message: /cut\.gguf: .*truncated/,
    },
    {
      what: "a source that is cut inside its data",
      prepare: async (folder) => {
        await copyFile(tiny, join(folder, "cut.gguf"));
        await truncate(join(folder, "cut.gguf"), 10_000_000);
      },
      args: (folder) => [join(folder, "cut.gguf"), join(folder, "out.gguf"), "--recipe", "Q4_0"],
      status: 1,
      message: /cut\.gguf: .*truncated/,
    },
    {
      what: "a file that is not GGUF",
      prepare: (folder) => writeFile(join(folder, "page.gguf"), "<!DOCTYPE html><title>404</title>"),
      args: (folder) => [join(folder, "page.gguf"), join(folder, "out.gguf"), "--recipe", "Q4_0"],
      status: 1,
      message: /page\.gguf: is a web page, not a model/,
    },
    {
      what: "an unknown recipe",
      args: (folder) => [tiny, join(folder, "out.gguf"), "--recipe", "asym-2bit-expert"],
      status: 2,
      message: /"asym-2bit-expert" is not a recipe; did you mean "asym-2bit-experts"\?/,
    },
    {
      what: "no recipe at all",
      args: (folder) => [tiny, join(folder, "out.gguf")],
      status: 2,
      message: /no types are chosen; give a --recipe/,
    },
    {
      what: "a pattern that matches nothing",
      args: (folder) => [
        tiny,
        join(folder, "out.gguf"),
        ...["--recipe", "Q4_0", "--allow-requantize", "--tensor-type", "ffn_dwn_exps=Q8_0"],
      ],
      status: 2,
      message: /ffn_dwn_exps.*ffn_down_exps/,
    },
    {
      what: "an unknown type",
      args: (folder) => [tiny, join(folder, "out.gguf"), "--recipe", "Q4_0", "--output-tensor-type", "Q9_K"],
      status: 2,
      message: /"Q9_K" is not a tensor type/,
    },
    {
      what: "a type that needs an importance matrix without one",
      args: (folder) => [tiny, join(folder, "out.gguf"), ...asymmetric],
      status: 2,
      message: /type IQ2_S needs an importance matrix: blk\.0-3\.ffn_gate_exps\.weight/,
    },
    {
      what: "to quantize what is quantized already",
      args: (folder) => [tiny, join(folder, "out.gguf"), "--recipe", "Q4_0"],
      status: 2,
      message: /the source is quantized already \(Q8_0\).*--allow-requantize/,
    },
    {
      what: "the imatrix of another model",
      prepare: (folder) =>
        writeGgufFile(join(folder, "other.gguf"), {
          metadata: { "general.architecture": "llama", "llama.block_count": 1 },
          tensors: [{ name: "blk.0.ffn_gate_exps.weight", shape: [512, 32, 4], type: "F32" }],
        }),
      args: (folder) => [
        join(folder, "other.gguf"),
        join(folder, "out.gguf"),
        "--recipe",
        "Q4_0",
        ...withImatrix,
      ],
      status: 2,
      message: /imatrix\.gguf: entry "blk\.0\.ffn_gate_exps\.weight".*imatrix of another model/,
    },
    {
      what: "its source as output",
      prepare: (folder) => copyFile(tiny, join(folder, "same.gguf")),
      args: (folder) => [
        join(folder, "same.gguf"),
        join(folder, "same.gguf"),
        ...["--recipe", "Q4_0", "--allow-requantize"],
      ],
      status: 2,
      message: /same\.gguf: is read by this command/,
    },
    {
      what: "an output folder that does not exist",
      args: (folder) => [tiny, join(folder, "no", "out.gguf"), "--recipe", "Q4_0", "--allow-requantize"],
      status: 2,
      message: /there is no folder .*no; create it first\./,
    },
    {
      what: "an output that is a folder",
      prepare: (folder) => mkdir(join(folder, "dir.gguf")),
      args: (folder) => [tiny, join(folder, "dir.gguf"), "--recipe", "Q4_0", "--allow-requantize"],
      status: 2,
      message: /dir\.gguf: is a folder; name the file to write\./,
    },
    {
      what: "a weight that is not a number, naming tensor, expert and row,",
      prepare: async (folder) => {
        const path = join(folder, "nan.gguf");
        await writeGgufFile(path, {
          metadata: { "general.architecture": "llama", "llama.block_count": 1 },
          tensors: [{ name: "blk.0.ffn_up_exps.weight", shape: [32, 4, 3], type: "F32" }],
        });
        const file = await open(path, "r+");
        const { size } = await file.stat();
        // Row 2 of expert 1 begins (2 experts - 1) * 4 + 2 = 6 rows after the tensor's start.
        const start = size - 32 * 4 * 3 * 4;
        await file.write(Float32Array.of(Number.NaN), 0, 4, start + 6 * 32 * 4 + 5 * 4);
        await file.close();
      },
      args: (folder) => [join(folder, "nan.gguf"), join(folder, "out.gguf"), "--recipe", "Q4_0", "--pure"],
      status: 1,
      message: /blk\.0\.ffn_up_exps\.weight, expert 1.*row 2.*NaN/,
    },
  ];

  for (const { what, prepare, args, status, message } of cases) {
    it(what, async (t) => {
      const folder = await temporaryFolder(t);
      await prepare?.(folder);
      const before = await readdir(folder, { recursive: true });
      const outcome = await lopsided(["quantize", ...args(folder)]);
      assert.match(outcome.stderr, message);
      assert.equal(
        outcome.stderr
          .trimEnd()
          .split("\n")
          .filter((line) => line !== "(see --help)").length,
        1,
        outcome.stderr,
      );
      assert.equal(outcome.status, status);
      assert.equal(outcome.stdout, "");
      assert.deepEqual(await readdir(folder, { recursive: true }), before);
    });
  }
});

describe("lopsided quantize --effort max", () => {
  const recipe = "name: few\nbase: COPY\nrules:\n  - { tensors: [routed.down], layers: 0-1, type: IQ3_S }\n";

  /** Arguments for a run that encodes two tensors only. */
  async function few(folder: string): Promise<string[]> {
    const path = join(folder, "few.yaml");
    await writeFile(path, recipe);
    return ["--recipe", path, "--allow-requantize", ...withImatrix];
  }

  /** A moments file of the tiny model's routed down inputs, made up. */
  async function writeMoments(
    path: string,
    layers: readonly number[],
    columns = 256,
    stem = "ffn_down_exps",
    sums = randomMoments(columns, 300, 0.7),
  ) {
    const contents = layers.map((layer) => ({
      name: `blk.${layer}.${stem}`,
      columns,
      counts: new Float64Array(16).fill(300),
      matrix: () => sums,
    }));
    await writeMomentsFile(path, { datasets: ["made up"], chunkCount: 1, chunkSize: 512 }, contents);
    return path;
  }

  it("writes the same bytes with 1, 2 and 5 threads, and others than without moments", async (t) => {
    const folder = await temporaryFolder(t);
    const moments = await writeMoments(join(folder, "m.moments.gguf"), [0, 1, 2, 3]);
    const run = async (name: string, ...args: string[]) => {
      const result = await quantizeJson([tiny, join(folder, name), ...(await few(folder)), ...args]);
      return result.sha256;
    };
    const withMoments = ["--effort", "max", "--moments", moments, "--threads"];
    const checksums = [];
    for (const threads of ["1", "2", "5"]) {
      checksums.push(await run(threads, ...withMoments, threads));
    }
    assert.equal(new Set(checksums).size, 1);
    assert.notEqual(await run("plain"), checksums[0]);
  });

  it("gives the same bytes when it is killed and resumed with another number of threads", async (t) => {
    const folder = await temporaryFolder(t);
    const moments = await writeMoments(join(folder, "m.moments.gguf"), [0, 1, 2, 3]);
    const rest = [...(await few(folder)), "--effort", "max", "--moments", moments, "--threads"];
    const args = [tiny, join(folder, "out.gguf"), ...rest];
    const killed = await lopsided(["quantize", ...args, "1"], {
      signal: "SIGKILL",
      when: journalSeen(folder, 100),
    });
    assert.equal(killed.status, null, killed.stderr);
    const resumed = await quantizeJson([...args, "5", "--resume"]);
    const whole = await quantizeJson([tiny, join(folder, "whole.gguf"), ...rest, "2"]);
    assert.equal(resumed.sha256, whole.sha256);
  });

  it("says in one sentence what is wrong with the moments", async (t) => {
    const folder = await temporaryFolder(t);
    const path = join(folder, "m.moments.gguf");
    const refused = async (args: readonly string[], pattern: RegExp) => {
      const { status, stderr } = await lopsided([
        "quantize",
        tiny,
        join(folder, "x"),
        ...(await few(folder)),
        ...args,
      ]);
      assert.notEqual(status, 0);
      assert.match(stderr, pattern);
    };
    const max = ["--effort", "max", "--moments", path];
    await refused(["--effort", "max"], /needs to know the inputs/);
    await writeMoments(path, [0, 1, 2, 3]);
    await refused(["--moments", path], /used by --effort max alone/);
    await writeMoments(path, [0, 1, 3]);
    await refused(max, /has no moments of "blk\.2\.ffn_down_exps"/);
    await writeMoments(path, [0, 1, 2, 3], 512);
    await refused(max, /moments of another model/);
    await writeMoments(path, [0], 256, "ffn_down_shexp");
    await refused(max, /has no moments for any tensor of the model/);
    await writeMoments(
      path,
      [0, 1, 2, 3],
      256,
      undefined,
      randomMoments(256, 300, 0.7).fill(Number.NaN, 7, 8),
    );
    await refused(max, /matrix 0 of "blk\.0\.ffn_down_exps" has values that are not finite/);
    await writeMoments(path, [0, 1, 2, 3], 256, undefined, randomMoments(256, 300, 0.7).fill(1e6, 1, 2));
    await refused(max, /"blk\.0\.ffn_down_exps", matrix 0: .* are not those of any inputs/);
  });
});
