/** Buttons that copy and download. */
import { byId, element } from "./elements.js";

/** Makes the buttons work. */
export function startButtons(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("button[data-copy]")) {
    button.addEventListener("click", () => void copy(byId(button.dataset.copy ?? "").textContent ?? ""));
  }
  byId("copy-link").addEventListener("click", () => void copy(location.href));
  byId("download").addEventListener("click", () => {
    const blob = new Blob([byId("recipe").textContent ?? ""], { type: "application/yaml" });
    const url = URL.createObjectURL(blob);
    element("a", { href: url, download: "recipe.yaml" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  });
}

async function copy(text: string): Promise<void> {
  const said = byId("copied");
  try {
    await navigator.clipboard.writeText(text);
    said.textContent = "Copied.";
  } catch {
    said.textContent = "The browser does not let the page copy; select the text and copy it.";
  }
}
