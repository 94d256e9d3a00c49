"""What a photo's page is told while the photo is made ready, as server-sent events."""
import json
import re
import threading

from stack_tool.uploaders import RENDITIONS


def told_while(client, photo_id, done):
    """All that was told until the end, of what was done meanwhile."""
    told = []
    watcher = threading.Thread(target=lambda: told.append(client.ask("GET", f"/photos/{photo_id}/events").body.decode()))
    watcher.start()
    done()
    watcher.join()
    return told[0]


def all_sizes(told, version):
    sizes = {json.loads(data)["file"] for data in re.findall(r"event: size\ndata: (.*)", told)}
    return len(sizes) == RENDITIONS and all(file.startswith(f"v{version}-") for file in sizes) and "event: end" in told
