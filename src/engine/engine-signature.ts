/**
 * What decides the last bits of what llama.cpp computes: two machines with the same signature, model and placement of its
 * layers come to the same results, as far as we know. Threads do not count.
 */
import { defineJob, type JobHost } from "./job.js";
import { noFiles } from "./job-files.js";

/** Version and package of llama.cpp, the C library, what the processor can do, graphics processors. */
export const describeEngine = defineJob(
  import.meta.url,
  "describeEngine",
  noFiles,
  (_: Readonly<Record<string, never>>, { library }: JobHost): string => {
    const graphics = library.devices().filter(({ kind }) => kind !== "cpu");
    return [
      `llama.cpp ${library.version}`,
      library.packageName.slice(library.packageName.indexOf("/") + 1),
      ...cLibrary(),
      library.native
        .llama_print_system_info()
        .replaceAll(/\s*\|\s*/g, " ")
        .replaceAll(" = 1", "")
        .trim(),
      ...graphics.map(({ description }) => description),
    ].join(", ");
  },
);

/** Its functions, exponentials for example, are computed with. */
function cLibrary(): string[] {
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: unknown } };
  return typeof header?.glibcVersionRuntime === "string" ? [`glibc ${header.glibcVersionRuntime}`] : [];
}
