"""From a source to a prepared data set on disk, and back. Owns no modality: samples are arrays here."""
