// The tables of docs/benchmarks.md by name. Each is given `read(name)`, which returns a kept run.
import { markdownTable, origin } from "./markers.mjs";

const texts = { "python.txt": "Python", "eval.txt": "chat tasks" };
const recipes = { asym: "asym-2bit-experts" };
const textOf = (name) => texts[name] ?? name;
const recipeOf = (name) => `\`${recipes[name] ?? name}\``;
const percent = (share, digits) => `${(100 * share).toFixed(digits)} %`;
const grouped = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, " ");
const megabytes = (bytes) => `${Math.round(bytes / 1e6)} MB`;

function outputAware(read) {
  const run = read("output-aware");
  const cases = grouping(run.results, ({ recipe, text }) => `${recipe} ${text}`);
  const rows = [...cases.values()].map((contenders) => {
    const of = (who) => contenders.find((result) => result.who === who);
    const baseline = of("llama.cpp");
    const ratio = (result) => {
      const value = result?.ratio ?? (result && result.kld.mean / baseline.kld.mean);
      return value === undefined ? "" : `${value.toFixed(2)} x`;
    };
    return [
      recipeOf(baseline.recipe),
      textOf(baseline.text),
      baseline.kld.mean.toFixed(5),
      ratio(of("default")),
      `**${ratio(of("max"))}**`,
    ];
  });
  const details = run.results
    .filter(({ kld }) => kld?.p99 !== undefined)
    .map(({ recipe, text, who, kld, topAgreement, pplRatio }) => [
      recipeOf(recipe),
      textOf(text),
      who === "llama.cpp" ? who : `lopsided \`--effort ${who}\``,
      kld.p99.toFixed(4),
      percent(topAgreement, 2),
      pplRatio.toFixed(4),
    ]);
  return [
    markdownTable(["types", "text", "llama.cpp", "lopsided", "lopsided `--effort max`"], rows, [2, 3, 4]),
    "More of these runs:",
    markdownTable(
      ["types", "text", "encoder", "KLD 99th percentile", "top-1 agreement", "PPL / original's"],
      details,
      [3, 4, 5],
    ),
    origin(run),
  ].join("\n\n");
}

/** Experts of less than two bits. */
function oneBit(read) {
  const run = read("output-aware-1bit");
  const cases = grouping(run.results, ({ recipe, text }) => `${recipe} ${text}`);
  const rows = [...cases.values()].map((contenders) => {
    const of = (name) => contenders.find(({ who }) => who === name);
    const mean = (who) => `${of(who).kld.mean.toFixed(5)} ± ${of(who).kld.meanError.toFixed(5)}`;
    const ratio = (who) => (of(who).kld.mean / of("llama.cpp").kld.mean).toFixed(2);
    const { recipe, text } = contenders[0];
    return [recipeOf(recipe), textOf(text), mean("llama.cpp"), ratio("default"), ratio("max")];
  });
  const head = ["experts", "text", "llama.cpp", "lopsided / llama.cpp", "`--effort max` / llama.cpp"];
  return [markdownTable(head, rows, [2, 3, 4]), origin(run)].join("\n\n");
}

/** Ratios to llama.cpp's divergence over several realizations. */
function realizations(read) {
  return realizationsOf(read("realizations"));
}

/** The same with so few tokens of calibration as a model of 30 billion weights has for each dimension. */
function scarceRealizations(read) {
  const parts = [
    ["2 tokens per dimension and expert (2048 tokens; 65 536 of a 30B model):", "realizations-2048"],
    ["7 tokens per dimension and expert (7168 tokens; 229 376 of a 30B model):", "realizations-7168"],
  ];
  return parts.flatMap(([title, name]) => [title, realizationsOf(read(name))]).join("\n\n");
}

function realizationsOf(run) {
  const { base, summary, runs } = run.results;
  const names = {
    "llama.cpp": "llama.cpp",
    default: "lopsided",
    pooled: "`max`, pooled moments",
    "pooled-scales": "the same files, scales fitted",
    matrices: "`max`, a matrix per expert",
    activations: "`max`, kept activations",
    scales: "the same files, scales fitted",
    rounds: "`max`, kept activations, types planned twice",
    "rounds-scales": "the same files, scales fitted",
  };
  const titles = { eval: "chat tasks", python: "Python", prose: "prose" };
  const shown = ({ mean, error }) => `${mean.toFixed(2)} ± ${error.toFixed(2)}`;
  const texts = Object.keys(base);
  return [
    markdownTable(
      ["", ...texts.map((name) => titles[name] ?? name), "geometric mean"],
      summary.map(({ way, texts: ofTexts, geometric }) => [
        names[way] ?? way,
        ...texts.map((name) => shown(ofTexts[name])),
        `**${shown(geometric)}**`,
      ]),
      [1, 2, 3, 4],
    ),
    `Of llama.cpp's mean over ${runs.length} realizations: ${texts.map((name) => base[name].toPrecision(3)).join(", ")} nats.`,
    origin(run),
  ].join("\n\n");
}

function grouping(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  }
  return groups;
}

function divergence(read) {
  const runs = [read("divergence"), read("divergence-32")];
  const mean = ({ kld }) => `${kld.mean.toFixed(5)} ± ${kld.meanError.toFixed(5)}`;
  const rows = runs.flatMap(({ results }) =>
    results.map(({ recipe, text, ours, theirs, ratio, medianRatio }) => [
      recipeOf(recipe),
      textOf(text),
      mean(theirs),
      mean(ours),
      ratio.toFixed(2),
      medianRatio.toFixed(2),
    ]),
  );
  const head = ["types", "text", "llama.cpp", "lopsided", "ratio of means", "ratio of medians"];
  return [markdownTable(head, rows, [2, 3, 4, 5]), ...runs.map(origin)].join("\n\n");
}

const onTinyModel = ({ results }) => results.filter(({ rows }) => rows === "tiny model");

function types(read) {
  const run = read("types");
  const rows = onTinyModel(run).map(({ type, ggmlGain, gain, errorRatio, speed }) => [
    type,
    ggmlGain.toFixed(4),
    gain.toFixed(4),
    errorRatio.toFixed(3),
    `${speed.toFixed(1)} x`,
  ]);
  const head = ["type", "gain, llama.cpp", "gain, ours", "error, ours / llama.cpp", "speed"];
  return [markdownTable(head, rows, [1, 2, 3, 4]), origin(run)].join("\n\n");
}

function typesFine(read) {
  const run = read("types-fine");
  const rows = onTinyModel(run).map(({ type, errorRatio, speed }) => [
    type,
    errorRatio.toFixed(3),
    `${speed.toFixed(1)} x`,
  ]);
  return [markdownTable(["type", "error, ours / llama.cpp", "speed"], rows, [1, 2]), origin(run)].join(
    "\n\n",
  );
}

function plan(read) {
  const run = read("plan");
  const rows = run.results.map((row) => [
    Number.isNaN(Number(row.size)) ? `\`${row.size}\`` : `${row.size} bpw`,
    grouped(row.bytes),
    row.predicted.toFixed(5),
    `${row.measured.toFixed(5)} ± ${row.measuredError.toFixed(5)}`,
    `\`${row.rival}\` (${grouped(row.rivalBytes)}) ${row.rivalKld.toPrecision(2)}`,
    `${row.ratio.toFixed(2)} ± ${row.ratioError.toFixed(2)}`,
    row.random.toPrecision(2),
    row.randomRatio.toFixed(2),
  ]);
  const head = ["size", "bytes", "predicted", "measured", "best rival", "ratio", "random", "ratio"];
  return [markdownTable(head, rows, [1, 2, 3, 5, 6, 7]), origin(run)].join("\n\n");
}

function file(read) {
  const run = read("file");
  const { weights, recipe, threads, ours, theirs, cpuSpeed } = run.results;
  const row = (who, { cpuSeconds, peakRssBytes }) => [
    who,
    `${cpuSeconds.toFixed(1)} s`,
    megabytes(peakRssBytes),
  ];
  return [
    markdownTable(["", "CPU time", "peak memory"], [row("llama.cpp", theirs), row("lopsided", ours)], [1, 2]),
    `${(weights / 1e9).toFixed(2)} billion weights, \`${recipe}\`, ${threads} threads; ${cpuSpeed.toFixed(1)} times less CPU time. llama.cpp's memory includes pages of the mapped file.`,
    origin(run),
  ].join("\n\n");
}

function outputAwareCost(read) {
  const speed = read("output-aware-speed");
  const layers = read("output-aware-layers");
  const { encoding, expert } = speed.results;
  const most = (key) => Math.max(...layers.results.map((result) => result[key] ?? 0));
  const ready = (part) => expert.seconds[part].sums + expert.seconds[part].factor;
  const micro = (value) => `${value.toFixed(2)} µs`;
  const last = Math.max(...encoding.map(({ passes }) => passes));
  const rows = [
    ...encoding
      .filter(({ passes }) => passes === last)
      .map(({ type, columns, spectrum, microsecondsPerWeight, ggmlMicroseconds }) => [
        `encoding \`${type}\`, rows of ${columns}, ${spectrum} spectrum, for each weight (ggml's own encoder)`,
        `${micro(microsecondsPerWeight)} (${micro(ggmlMicroseconds)})`,
      ]),
    [
      `making the inputs of an expert's gate and up ready, ${expert.tokens} tokens`,
      `${ready("gate and up").toFixed(2)} s`,
    ],
    [`and those of its down`, `${ready("down").toFixed(2)} s`],
    ["all of an expert, for each weight", micro(expert.microsecondsPerWeight)],
    ["all experts of 48 layers, by multiplication", `${expert.coreHours.toFixed(1)} core hours`],
    ["peak memory", megabytes(most("peakRssBytes"))],
    ...layers.results.flatMap(({ spectrum, errors }) =>
      Object.entries(errors).map(([type, error]) => [
        `output error of ${type} / ggml's, inputs with a ${spectrum.split(":")[0]} spectrum`,
        error.toFixed(2),
      ]),
    ),
  ];
  return [markdownTable(["", ""], rows, [1]), origin(speed), origin(layers)].join("\n\n");
}

function engine(read) {
  const run = read("engine");
  const rows = run.results.map(({ subject, ratio }) => [`\`${subject}\``, `${ratio.toFixed(2)} x`]);
  return [markdownTable(["command", "time"], rows, [1]), origin(run)].join("\n\n");
}

function serve(read) {
  const run = read("serve");
  const { soak, kill, speed } = run.results;
  const { processor, elapsed } = speed.millisecondsPerStep;
  // As many times as memory was looked at, evenly spread.
  const [, ...memory] = soak.memoryMegabytes;
  const middle = Math.ceil(memory.length / 2);
  const rows = [
    [
      `lost or mixed up, of ${grouped(soak.requests)} requests by ${soak.clients} clients, half of them with tools or schemas`,
      String(soak.lost + soak.mixedUp),
    ],
    [
      "memory meanwhile, first and second half",
      [memory.slice(0, middle), memory.slice(middle)]
        .map((half) => `${Math.min(...half)} to ${Math.max(...half)} MB`)
        .join(", "),
    ],
    [
      "`kill -9` of the engine under load",
      `${kill.failed} running answers lost, ${kill.secondsToTheNextAnswer.toFixed(1)} s`,
    ],
    [
      `speed of ${speed.slots} concurrent requests / bare \`llama_decode\` loop, CPU time`,
      processor.ratio.toFixed(2),
    ],
    ["the same by the clock", elapsed.ratio.toFixed(2)],
  ];
  return [markdownTable(["", ""], rows, [1]), origin(run)].join("\n\n");
}

function check(read) {
  const run = read("check");
  const models = run.results;
  const rows = models[0].tasks.map(({ kind }, index) => [
    kind,
    ...models.map(({ tasks }) => {
      const { passed, total, low, high } = tasks[index];
      const interval = low === undefined ? "" : ` (${(100 * low).toFixed(1)}-${percent(high, 1)})`;
      return `${passed} / ${total}${interval}`;
    }),
  ]);
  const head = ["kind", ...models.map(({ label, bytes }) => `${label} (${(bytes / 1e6).toFixed(2)} MB)`)];
  return [markdownTable(head, rows, [1, 2, 3]), origin(run)].join("\n\n");
}

function cache(read) {
  const run = read("cache");
  const rows = Object.entries(run.results.runs).flatMap(([kind, runs]) =>
    runs.map(({ size, share, cpuSeconds, seconds, quantizeSeconds }, i) => [
      `${i === 0 ? "first" : "second"}, ${kind} cache`,
      `${(size / 1e6).toFixed(2)} MB`,
      share === undefined ? "" : percent(share, 1),
      `${cpuSeconds.toFixed(1)} s`,
      `${seconds.toFixed(1)} s`,
      `${quantizeSeconds.toFixed(1)} s`,
    ]),
  );
  const head = [
    "`make`",
    "budget",
    "from the cache",
    "CPU time, all but the engine",
    "time",
    "of it `quantize`",
  ];
  return [markdownTable(head, rows, [1, 2, 3, 4, 5]), origin(run)].join("\n\n");
}

function pruningFit(read) {
  const run = read("pruning-fit");
  const rows = run.results.fit.map(({ experts, lost, weighed, mean, error, factor }) => [
    `${experts} of 16`,
    percent(lost, 1),
    weighed.toFixed(4),
    `${mean.toFixed(3)} ± ${error.toFixed(3)}`,
    factor.toFixed(1),
  ]);
  const head = ["experts", "lost of what all add", "times sensitivity", "measured, nats", "factor"];
  return [markdownTable(head, rows, [1, 2, 3, 4]), origin(run)].join("\n\n");
}

function pruningSizes(read) {
  const run = read("pruning");
  const { sizes } = run.results;
  const kinds = sizes[0].rows[0].texts.map(({ name }) => name);
  const rows = sizes.flatMap((size) =>
    size.rows.map(({ what, bytes, experts, predicted, mean, error, texts: each }) => [
      grouped(bytes),
      what,
      String(experts),
      predicted.toPrecision(2),
      `${mean.toFixed(4)} ± ${error.toFixed(4)}`,
      ...each.map((one) => one.mean.toFixed(3)),
    ]),
  );
  const head = ["bytes", "", "experts", "predicted", "measured, nats", ...kinds];
  const note = `12 of 16 experts are planned on the pruned model, so that what is predicted there is the types' part alone.`;
  return [
    markdownTable(
      head,
      rows,
      head.map((_, i) => i).filter((i) => i !== 1),
    ),
    origin({ ...run, note }),
  ].join("\n\n");
}

function merging(read) {
  const run = read("pruning");
  const found = run.results.merging;
  const rows = found.map(({ what, mean, error, texts: each }) => [
    what,
    `${mean.toFixed(3)} ± ${error.toFixed(3)}`,
    ...each.map((one) => one.mean.toFixed(3)),
  ]);
  const head = ["4 of 16 experts", "all texts, nats", ...found[0].texts.map(({ name }) => name)];
  return [markdownTable(head, rows, head.map((_, i) => i).slice(1)), origin(run)].join("\n\n");
}

function padded(read) {
  const run = read("padded");
  const { recipe, same, rows: found } = run.results;
  const names = { plain: `\`${recipe}\``, padded: `\`${recipe}\`` };
  const rows = found.map(({ what, isPadded, down, bits, bytes, mean, error, tokensPerSecond }) => [
    names[what] ?? "`plan` for the padded file's bytes",
    isPadded ? "768" : "704",
    down,
    grouped(bytes),
    bits.toFixed(2),
    `${mean.toFixed(3)} ± ${error.toFixed(3)}`,
    tokensPerSecond.toFixed(0),
  ]);
  const head = [
    "types by",
    "width",
    "`ffn_down_exps`",
    "bytes",
    "bits per weight of 704",
    "divergence",
    "tokens/s",
  ];
  return [
    markdownTable(head, rows, [1, 3, 4, 5, 6]),
    `Unquantized, the logits of the padded model differ from the model's by ${Number(same.difference.toPrecision(2))} (of ${same.largest.toFixed(1)}); those of tokens one by one from those of tokens together by ${same.floor.toPrecision(2)}. Tokens per second of CPU time, one after the other on one thread.`,
    origin(run),
  ].join("\n\n");
}

/** Five files on four kinds of text: the tables of `compare`, and how far llama-perplexity's figures are from them. */
function domains(read) {
  const run = read("domains");
  const { tables: compared, sentence, llamaPerplexity: pairs } = run.results;
  const parts = compared.map(({ head, rows }) =>
    markdownTable(head, rows, head.map((_, column) => column).slice(1)),
  );
  const figures = ["mean", "median", "p90", "p99", "topAgreement"];
  const titles = ["mean", "median", "90th percentile", "99th percentile", "top-1 agreement"];
  // The program prints six decimals, from log-probabilities of 16 bits.
  const least = 0.001;
  const differences = pairs.flatMap(({ text, ours, theirs }) =>
    figures.map((figure) => ({
      text,
      figure,
      own: ours[figure],
      by: Math.abs(theirs[figure] - ours[figure]),
    })),
  );
  const farthest = (names, figure) =>
    Math.max(
      ...differences
        .filter((of) => names.includes(of.text) && of.figure === figure && of.own >= least)
        .map(({ by, own }) => by / own),
    );
  const small = Math.max(...differences.filter(({ own }) => own < least).map(({ by }) => by));
  const names = [...new Set(pairs.map(({ text }) => text))];
  const rows = [...names.map((name) => [name, [name]]), ["**all**", names]].map(([title, of]) => [
    title,
    ...figures.map((figure) => {
      const found = farthest(of, figure);
      return Number.isFinite(found) ? percent(found, 2) : "";
    }),
  ]);
  return [
    ...parts,
    sentence,
    `The largest difference of llama-perplexity's figures for these files from Lopsided's, relative to them; figures below ${least} nats, of which its 16-bit log-probabilities leave little, differ by at most ${small.toFixed(6)} nats:`,
    markdownTable(["text", ...titles], rows, [1, 2, 3, 4, 5]),
    origin(run),
  ].join("\n\n");
}

/** A model larger than memory: windows of layers beside llama.cpp's memory map. */
function windows(read) {
  const run = read("windows");
  const { bytes, runs } = run.results;
  const names = {
    windows: "windows of layers",
    map: "llama.cpp's memory map",
    resident: "bare decodes, layers in memory",
  };
  const limitsOf = ({ memory, rate }) =>
    [memory && `${memory / 1e9} GB of memory`, rate && `disk of ${rate / 1e6} MB/s`]
      .filter(Boolean)
      .join(", ") || "as the machine is";
  const rows = runs.map(({ way, subject, chunks, tokensPerSecond, total, readGB, peakGB, ...limits }) => [
    limitsOf(limits),
    subject === "perplexity" ? "perplexity" : way === "resident" ? "" : "imatrix",
    names[way],
    String(chunks),
    tokensPerSecond.toFixed(1),
    ...(way === "resident"
      ? ["", "", ""]
      : [`${Math.round(total)} s`, `${readGB.toFixed(1)} GB`, `${peakGB.toFixed(1)} GB`]),
  ]);
  const head = ["limits", "command", "run as", "chunks", "tokens/s", "in all", "read", "peak of memory"];
  return [
    markdownTable(head, rows, [3, 4, 5, 6, 7]),
    `A file of ${(bytes / 1e9).toFixed(1)} GB; \`perplexity\` of one of 11.4 GB with it as the reference. Peak of memory: what is not a copy of a file.`,
    origin(run),
  ].join("\n\n");
}

/** The demo and tests beside other work. */
function busy(read) {
  const run = read("busy");
  const rows = run.results.runs.map(({ work, otherProcesses, quietSeconds, busySeconds, times }) => [
    work,
    `${quietSeconds.toFixed(0)} s`,
    String(otherProcesses),
    `${busySeconds.toFixed(0)} s`,
    `${times.toFixed(1)} x`,
  ]);
  const head = ["work", "quiet", "other processes", "beside them", "times as long"];
  return [markdownTable(head, rows, [1, 2, 3, 4]), origin(run)].join("\n\n");
}

/** A queue of workers beside one process. */
function queue(read) {
  const run = read("queue");
  const { empty, usual, experts, weights, startSeconds, microseconds, runs } = run.results;
  const rows = [
    [
      "encoding, default and max effort, of a core for each weight",
      `${microseconds.default.toFixed(2)} and ${microseconds.max.toFixed(2)} µs`,
    ],
    ...empty.map(({ workers, coordinatorMs }) => [
      `a slice that costs nothing, ${workers} ${workers === 1 ? "worker" : "workers"}, of the coordinator's core`,
      `${coordinatorMs.toFixed(1)} ms`,
    ]),
    [
      "a slice of 1 048 576 weights that the coordinator sends as float32, of its core",
      `${usual.coordinatorMs.toFixed(0)} ms`,
    ],
    ...runs.map(({ workers, ratio, cpuSeconds, singleSeconds, isSame }) => [
      `${experts} experts at max: ${workers} ${workers === 1 ? "worker" : "workers"} and their coordinator / one process with as many threads${isSame ? "" : " (OTHER BYTES)"}`,
      `${cpuSeconds.toFixed(0)} s / ${singleSeconds.toFixed(0)} s = ${ratio.toFixed(2)}`,
    ]),
    ["a worker that gets nothing to do", `${startSeconds.toFixed(1)} s`],
  ];
  return [
    markdownTable(["processor time", "measured"], rows, [1]),
    `One layer of the 30B geometry with ${experts} of 128 experts, ${(weights / 1e6).toFixed(0)} million weights; the same bytes always. Start-up of all processes is included.`,
    origin(run),
  ].join("\n\n");
}

/** How often paired intervals hold. */
function coverage(read) {
  const run = read("coverage");
  const { pairs, results } = run.results;
  const columns = ["whole", "mean", "printed", "pieces"];
  const titles = { kld: "KL divergence", nll: "log perplexity" };
  const rows = Object.entries(titles).flatMap(([figure, title]) => {
    const found = results.filter((result) => result.figure === figure);
    const shares = (of) =>
      columns.map((column) => {
        const held = of.reduce((sum, result) => sum + result[column], 0);
        return `${((100 * held) / (pairs * of.length)).toFixed(of.length > 1 ? 1 : 0)} %`;
      });
    return [
      ...found.map((result) => [
        title,
        result.text,
        String(result.chunks),
        `${result.difference.toFixed(4)} ± ${result.error.toFixed(4)}`,
        result.correlation.toFixed(2),
        ...shares([result]),
      ]),
      [title, "**all**", "", "", "", ...shares(found)],
    ];
  });
  const head = [
    ...["figure", "text", "chunks", "difference, nats", "correlation of neighbours"],
    ...[
      "the mean's, chunks drawn anew",
      "the mean's, random halves",
      "printed, random halves",
      "printed, halves in one piece",
    ],
  ];
  return [markdownTable(head, rows, head.map((_, column) => column).slice(2)), origin(run)].join("\n\n");
}

export const tables = {
  windows,
  busy,
  domains,
  coverage,
  queue,
  "output-aware": outputAware,
  realizations,
  "realizations-scarce": scarceRealizations,
  "output-aware-1bit": oneBit,
  "pruning-fit": pruningFit,
  "pruning-sizes": pruningSizes,
  merging,
  padded,
  divergence,
  types,
  "types-fine": typesFine,
  plan,
  file,
  "output-aware-cost": outputAwareCost,
  cache,
  engine,
  serve,
  check,
};
