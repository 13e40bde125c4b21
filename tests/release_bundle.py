"""A small bundle as `reference` leaves it: towers that are a few ONNX nodes, a catalogue, and what was held out."""

import dataclasses
import json

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from components import schema
from components.bundle import DRIFT_REFERENCE, GOLDEN, INDEX_FOLDER
from components.calibrator import CALIBRATOR, identity
from components.contract import write_json
from components.images import digest as images_digest
from components.images import normalise
from components.manifest import write_manifest
from components.neighbours import ITEMS
from components.photos import squares
from components.shards import write_table
from components.towers import IMAGE_GRAPH, SERVING, Serving, open_session

SIDE_PX, DIM = 32, 16


def write_tower(path, seed=0):
    """A graph whose vector is a turned 4 x 4 thumbnail and whose score is the mean brightness."""
    turn = np.random.default_rng(seed).normal(size=(48, DIM)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["small"], ["flat"]),
        helper.make_node("MatMul", ["flat", "turn"], ["turned"]),
        helper.make_node("LpNormalization", ["turned"], ["embedding"], axis=1, p=2),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Sigmoid", ["mean"], ["image_score"]),
    ]
    shapes = {"pixels": ["b", 3, SIDE_PX, SIDE_PX], "embedding": ["b", DIM], "image_score": ["b"]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    ends = [values["pixels"]], [values["embedding"], values["image_score"]]
    graph = helper.make_graph(nodes, "tower", *ends, [numpy_helper.from_array(turn, "turn")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def write_bundle(folder, *, held_out, catalogue, golden=(), preprocessing=None, **facts):
    """The digest of a bundle. `held_out` is rows (item_id, image_id, vector, image_score), `catalogue` item_ids, `golden` photos."""
    (folder / INDEX_FOLDER).mkdir(parents=True)
    write_tower(folder / IMAGE_GRAPH)
    identity().write(folder / CALIBRATOR)
    serving = Serving("f" * 16, DIM, SIDE_PX, max_tokens=8, pad_id=0, precision="fp32", preprocessing=preprocessing or images_digest())
    write_json(folder / SERVING, dataclasses.asdict(serving))
    pq.write_table(pa.table({"item_id": pa.array(catalogue, pa.string())}), folder / INDEX_FOLDER / ITEMS)
    held_out_schema = schema.embeddings(DIM)
    rows = [{**row, "fingerprint": serving.fingerprint, "vector": np.asarray(row["vector"], np.float16)} for row in held_out]
    write_table(folder / DRIFT_REFERENCE, pa.Table.from_pylist(rows, held_out_schema), held_out_schema)
    write_golden(folder, golden)
    return write_manifest(folder, {"promote": True, **facts})


def write_golden(folder, photos, turn=None):
    """Golden photos with the tower's own answers, or with vectors that `turn` made of them."""
    session = open_session(folder / IMAGE_GRAPH)
    rows = []
    for data in photos:
        vector, score = (out[0] for out in session.run(None, {"pixels": normalise(squares([data], SIDE_PX))}))
        rows.append({"image_id": "golden", "data": data, "vector": turn(vector) if turn else vector, "image_score": float(score)})
    write_table(folder / GOLDEN, pa.Table.from_pylist(rows, schema.golden(DIM)), schema.golden(DIM))


def name_stable(snapshot, digest):
    """Makes the snapshot name a stable release."""
    taken = json.loads(snapshot.read_text()) if snapshot.exists() else {}
    write_json(snapshot, taken | {"stable_release": digest})
