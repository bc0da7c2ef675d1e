/* Nodes of the pack say in a saved workflow which pack they come from, so that a page without it can name what is missing.
   ComfyUI-Manager writes the same two properties where it knows how the pack was installed; the page alone writes none. */

import { app } from "../../scripts/app.js";

const PACK = "talkface"; // as in pyproject.toml, and so is the version
const VERSION = "0.1.0";

app.registerExtension({
  name: "TalkFace.Origin",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("TalkFace")) return;
    node.properties.cnr_id ??= PACK;
    node.properties.ver ??= VERSION;
  },
});
