from __future__ import annotations

import pytest

from easnn.exp import EventExp

PUBLISHED = (
    "num_classes 100 depth 1.0 width 1.0 act silu use_spike False spike_fn atan alpha 2.0 "
    "embedding count embedding_depth 1 embedding_ksize 7 spike_attach False write_zero False "
    "readout sum thresh 1.0 reset 0.0 decay 0.5 abs False norm None Tl 1 Tm 4 Ts 1 T 4 window -200 "
    "aggregation micro_sum measure count data_name n-caltech input_size 640,640 test_size 640,640 "
    "data_num_workers 4 warmup_epochs 0 max_epoch 300 warmup_lr 0.0 min_lr_ratio 0.05 "
    "no_aug_epochs 0 basic_lr_per_img 1.5625e-05 emb_lr -1.0 scheduler yoloxwarmcos optimizer ADAM "
    "weight_decay 0.0 momentum 0.9 ema True print_interval 10 eval_interval 10 save_history_ckpt "
    "False seed None test_conf 0.01 nmsthre 0.65 flip_prob 0.5 speed_aug False eval_proph False "
    "stem focus output_dir ./YOLOX_outputs"
)
WORDS = PUBLISHED.split()


@pytest.mark.parametrize(("name", "text"), zip(WORDS[::2], WORDS[1::2], strict=True))
def test_published_key_has_its_default(name: str, text: str) -> None:
    key = EventExp.declarations()[name]
    assert key.kind.text(key.default) == text
