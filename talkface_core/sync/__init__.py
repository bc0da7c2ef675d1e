"""Audio-visual synchronisation: SyncNet, the lip expert of Wav2Lip, its training, and the sync score."""
