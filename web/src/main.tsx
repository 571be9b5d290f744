/** The start of the page. */
import { render } from "preact";
import { App } from "./app";
import { followTheme } from "./settings";

followTheme();
render(<App />, document.body);
// What bench/page.py measures.
performance.mark("interactive");
