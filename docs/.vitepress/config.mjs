// The documentation as a site: README and the pages of the repository as they are, with search. `npm run docs`.
import { fileURLToPath } from "node:url";

/** Names of headings as GitHub makes them, so that a link is right in both places. */
const slugify = (heading) =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");

const howTo = (...pages) => pages.map(([text, name]) => ({ text, link: `/docs/how-to/${name}` }));

/** README is the first page, so a link to it is a link there. */
function readmeIsIndex(md) {
  md.core.ruler.push("readme-is-index", ({ tokens }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === "link_open" ? token.attrGet("href") : undefined;
      if (href?.match(/^(\.\.\/)*README\.md/)) {
        token.attrSet("href", href.replace("README.md", "index.md"));
      }
    }
  });
}

export default {
  title: "Lopsided",
  description: "Asymmetric, expert-aware GGUF quantization for mixture-of-experts language models",
  srcDir: fileURLToPath(new URL("../..", import.meta.url)),
  srcExclude: ["node_modules/**", "dist/**", "src/**", "fixtures/**", "scripts/**", "lopsided-demo/**"],
  rewrites: { "README.md": "index.md" },
  outDir: fileURLToPath(new URL("dist", import.meta.url)),
  markdown: { anchor: { slugify }, config: readmeIsIndex },
  // The icon of an empty picture: browsers ask for one, and there is none.
  head: [["link", { rel: "icon", href: "data:," }]],
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [
      { text: "How to", link: "/docs/how-to/make" },
      { text: "Benchmarks", link: "/docs/benchmarks" },
      { text: "Changelog", link: "/CHANGELOG" },
    ],
    sidebar: [
      {
        text: "Lopsided",
        items: [
          { text: "Overview", link: "/" },
          { text: "Installing", link: "/docs/installing" },
          { text: "Commands", link: "/docs/commands" },
        ],
      },
      {
        text: "How to",
        items: howTo(
          ["Everything in one run", "make"],
          ["See what is in a model", "inspect"],
          ["Convert", "convert"],
          ["Calibrate", "calibrate"],
          ["Choose types", "choose-types"],
          ["Choose a budget", "choose-a-budget"],
          ["Memory is a slider", "explore"],
          ["Does it fit?", "does-it-fit"],
          ["Lose less", "lose-less"],
          ["Prune experts", "prune"],
          ["Interrupt and resume", "interrupt-and-resume"],
          ["Use many machines", "many-machines"],
          ["Verify", "verify"],
          ["Measure", "measure"],
          ["Run an eval", "run-an-eval"],
          ["Chat and serve", "chat-and-serve"],
          ["Read the report", "read-the-report"],
          ["Publish", "publish"],
          ["From the network", "from-the-network"],
        ).concat({ text: "From a program", link: "/docs/library" }),
      },
      {
        text: "Background",
        items: [
          ["Benchmarks", "/docs/benchmarks"],
          ["Unbiased rows", "/docs/unbiased"],
          ["File formats", "/docs/formats"],
          ["Roles", "/docs/roles"],
          ["Architecture", "/ARCHITECTURE"],
          ["Security", "/SECURITY"],
          ["Contributing", "/CONTRIBUTING"],
          ["Changelog", "/CHANGELOG"],
        ].map(([text, link]) => ({ text, link })),
      },
    ],
  },
};
