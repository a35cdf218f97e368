"""Makes one audio segment and prints its frames as JSON: frames.py PACKAGE PROMPT SEED"""
import json
import sys

import ualm

package, prompt, seed = sys.argv[1:]
with ualm.Model(package) as model, model.session() as session:
    reply = session.generate(prompt, model.options("audio", seed=int(seed)))
print(json.dumps(reply.segments[0].frames.tolist()))
