import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

/** Every browser that runs the page reads WOFF2; KaTeX's two older copies of each font would triple the file. */
const woff2Only: Plugin = {
  name: "woff2-only",
  enforce: "pre",
  transform(code, id) {
    if (!id.includes("katex") || !id.endsWith(".css")) return null;
    return code.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\([^)]*\)/g, "");
  },
};

/** The licenses of what is built in, at the end of the page: they go where it goes. */
const notices: Plugin = {
  name: "notices",
  transformIndexHtml(html) {
    const license = (name: string) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf-8").trim()}`;
    const all = ["katex", "preact", "@dagrejs/dagre", "@dagrejs/graphlib"].map(license).join("\n\n");
    return html.replace("</html>", () => `<!-- This page contains:\n\n${all}\n-->\n</html>`);
  },
};

export default defineConfig({
  plugins: [woff2Only, notices, viteSingleFile({ removeViteModuleLoader: true })],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../src/retrograde/explore/built",
    emptyOutDir: true,
    assetsInlineLimit: 1_000_000,
    target: "es2022",
  },
});
