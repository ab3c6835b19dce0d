// Typeset TeX in Node, for tools/formulas.py: one JSON document in, one out.
//
//   node typeset.cjs FOLDER-OF-PACKAGES < {"formulas": [{"tex", "display"}], "columns": [wide, narrow]}
//
// Out: {"made": [{"html": [...], "widths": [...], "mathml"} or {"error"}], "css"}. Inline formulas are
// set once, displays once for each column (their width in em), broken where they are wider.
const path = require("path");

const packages = path.resolve(process.argv[2]);
const read = () => JSON.parse(require("fs").readFileSync(0, "utf-8"));

async function main() {
  const { formulas, columns } = read();
  require(path.join(packages, "mathjax/node-main.cjs"));
  await MathJax.init({
    loader: {
      load: ["input/tex", "output/chtml"],
      paths: {
        mathjax: path.join(packages, "mathjax"),
        "mathjax-newcm": path.join(packages, "@mathjax/mathjax-newcm-font"),
      },
    },
    // An unknown macro or a bad formula is an error of the build, not red text on the page.
    tex: {
      tags: "none",
      packages: { "[-]": ["noundefined", "noerrors"] },
      formatError: (jax, error) => { throw new Error(error.message); },
    },
    output: { font: "mathjax-newcm", displayOverflow: "linebreak", fontURL: "." },
    startup: { typeset: false },
  });
  const { output, adaptor, document } = MathJax.startup;

  // The width is known here, from the font's own metrics, before any browser lays it out.
  let width = 0;
  const process = output.processMath.bind(output);
  output.processMath = (wrapper, node) => {
    process(wrapper, node);
    width = wrapper.getOuterBBox().w;
  };
  const EM = 16;
  async function set(tex, display, columnWidth) {
    MathJax.texReset(); // or a \label would be defined twice
    const options = { display, em: EM, ex: EM * 0.431, containerWidth: columnWidth * EM };
    const html = adaptor.outerHTML(await MathJax.tex2chtmlPromise(tex, options));
    return { html, width };
  }

  const made = [];
  for (const { tex, display } of formulas) {
    try {
      // It knows no other formula of the page, and would say (???).
      const reference = /\\(eq)?ref\b/.exec(tex);
      if (reference) throw new Error(`${reference[0]} in a formula; use {eq}`);
      const versions = [];
      for (const column of display ? columns : [1000]) versions.push(await set(tex, display, column));
      MathJax.texReset();
      const mathml = await MathJax.tex2mmlPromise(tex, { display });
      made.push({ html: versions.map((v) => v.html), widths: versions.map((v) => v.width), mathml });
    } catch (error) {
      made.push({ error: error.message });
    }
  }
  const css = adaptor.textContent(output.styleSheet(document));
  console.log(JSON.stringify({ made, css }));
}

main().catch((error) => { console.error(error); process.exit(1); });
