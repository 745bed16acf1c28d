"""penstock locate where nodes share their caches."""

import json

from mounting import need_fuse, wait_for
from test_mount_peers import PATIENT, blocks, cluster, store

need_fuse()


def located(penstock, node):
    return json.loads(penstock("locate", node.point / "scan", "--json").stdout)


def states(dataset, name):
    return [holder["state"] for block in dataset["blocks"] for holder in block["nodes"] if holder["node"] == name]


def test_every_node_is_asked(penstock, store, blocks, tmp_path):
    with cluster(penstock, store, tmp_path, 3, *PATIENT) as (one, two, three):
        dataset = located(penstock, one)
        assert dataset["nodes"][0] == one.name and set(dataset["nodes"]) == {one.name, two.name, three.name}
        assert dataset["silent"] == []
        for node in (one, two, three):
            assert states(dataset, node.name) == ["absent"] * len(blocks)
        penstock("warm", one.point / "scan")
        # The others hold what they own and gave, the blocks being of one size.
        given = one.status()["counters"]["peer_fetched_bytes"] // blocks[0].stat().st_size

        def found():
            dataset = located(penstock, two)
            held = states(dataset, two.name).count("complete") + states(dataset, three.name).count("complete")
            return states(dataset, one.name).count("complete") == len(blocks) and held == given and dataset

        assert 0 < given < len(blocks) and wait_for(found)["nodes"][0] == two.name
        three.kill()
        dataset = located(penstock, one)
        assert set(dataset["nodes"]) == {one.name, two.name}
        assert [node["node"] for node in dataset["silent"]] == [three.name] and dataset["silent"][0]["why"]
        done = penstock("locate", one.point / "scan")
        assert f"{three.name} does not say what it holds" in done.stderr and one.name in done.stdout
